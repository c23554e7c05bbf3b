import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/** Milliseconds after which a run counts as stuck. */
const limit = 60_000

/** A program that measures by itself, as a user starts it. */
export interface Program {
  process: ChildProcess
  /** Its standard output, after a successful exit. */
  output: Promise<string>
  /** Resolves when its standard error matches; rejects when it ends before. */
  said(pattern: RegExp): Promise<void>
}

/** @param remedy what to do where it is not installed */
export function startProgram([command, ...args]: readonly string[], remedy?: string): Program {
  const process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: limit })
  let [text, error] = ['', '']
  process.stdout.on('data', (chunk) => (text += chunk))
  process.stderr.on('data', (chunk) => (error += chunk))
  const output = once(process, 'close').then(
    ([code, signal]) => {
      if (code === 0) return text
      const last = (error + text).trim().slice(-400)
      throw new Error(`${command} ended with ${signal ?? `exit code ${code}`}: ${last}`)
    },
    (cause) => {
      throw cause.code === 'ENOENT' && remedy ? new Error(`${command} not found: ${remedy}`) : cause
    },
  )
  output.catch(() => {}) // reported where `output` is awaited
  const said = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const look = () => pattern.test(error) && resolve()
      process.stderr.on('data', look)
      look()
      output.then(() => reject(new Error(`${command} ended before it said ${pattern}`)), reject)
    })
  return { process, output, said }
}
