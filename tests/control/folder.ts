/** A folder of a test's own in XDG_RUNTIME_DIR's place. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onOver } from '../beds/over.js'

export function runtimeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-control-'))
  onOver(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
