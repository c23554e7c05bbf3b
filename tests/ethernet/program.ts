/** Test programs, run as processes of their own in this network namespace. */

import { fileURLToPath } from 'node:url'
import { spawn } from '../beds/child.js'

export function programPath(name: string): string {
  return fileURLToPath(new URL(`programs/${name}`, import.meta.url))
}

/** Runs a command to its end: its exit code, and its output on both streams. */
export async function command(
  file: string,
  ...words: string[]
): Promise<{ code: number | null; output: string }> {
  const child = spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve)
  })
  return { code, output }
}

/** Runs one of programs/ with this Node. */
export function run(name: string, ...words: string[]): Promise<{ code: number | null; output: string }> {
  return command(process.execPath, '--no-warnings', programPath(name), ...words)
}
