/** Programs that are compiled against mlx5dv.h: the layouts' and the decoder's oracle. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execFileSync } from '../beds/child.js'

/** Compiles and runs a program; returns what it prints. */
export function runC(source: { file: string } | { text: string }): string {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-mlx5-'))
  try {
    const file = 'file' in source ? source.file : join(folder, 'program.c')
    if ('text' in source) writeFileSync(file, source.text)
    const program = join(folder, 'program')
    execFileSync('cc', ['-Wall', '-Werror', '-o', program, file])
    return String(execFileSync(program))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
