import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { onOver } from '../beds/over.js'

/** A folder that is XDG_RUNTIME_DIR until the test is over. */
export function runtimeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-control-'))
  vi.stubEnv('XDG_RUNTIME_DIR', folder)
  onOver(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}
