/** Helpers for tests of any bed: this process, and processes that they start. */

import { fileURLToPath } from 'node:url'
import { spawn } from './child.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The error that a call throws. */
export function thrownBy(call: () => unknown): Error & { code?: string; errno?: number; syscall?: string } {
  try {
    call()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

export interface Ended {
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
}

export interface NodeOptions {
  flags?: string[]
  env?: Record<string, string>
}

/** Runs the text of an ES module in a Node process, in the project's folder. */
export function node(script: string, { flags = [], env = {} }: NodeOptions = {}): Promise<Ended> {
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', script], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (text) => {
    stdout += text
  })
  child.stderr.on('data', (text) => {
    stderr += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr })
    })
  })
}

/** Resolves when the event loop has been idle for a tenth of a second: a loop that something keeps busy never is. */
export async function loopRests(): Promise<void> {
  // Idleness is no event: it is measured over a time.
  for (let utilization = 1; utilization > 0.5; ) {
    const before = performance.eventLoopUtilization()
    await new Promise((resolve) => setTimeout(resolve, 100))
    utilization = performance.eventLoopUtilization(before).utilization
  }
}

/** Runs the garbage collector over all unreachable objects, with their finalizers. */
export async function collectGarbage(): Promise<void> {
  const { gc } = globalThis
  if (!gc) throw new Error('run node with --expose-gc')
  for (let i = 0; i < 3; i++) {
    gc()
    // Finalizers are tasks of their own.
    await new Promise((resolve) => setTimeout(resolve, 0))
  }
}
