// Runs a command in the project's folder, with this process's output.

import { spawn } from 'node:child_process'
import { project } from './vm/vm.mjs'

/**
 * @param {string[]} argv
 * @param {{ env?: Record<string, string>, signal?: AbortSignal }} [options]
 * @returns {Promise<number>} its exit code; 1 when a signal ended it
 */
export function runCommand([command, ...args], { env = {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: project,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    // SIGTERM, not SIGKILL: vitest then ends its workers.
    const abort = () => child.kill('SIGTERM')
    signal?.addEventListener('abort', abort)
    child.once('error', reject)
    child.once('close', (code) => {
      signal?.removeEventListener('abort', abort)
      resolve(code ?? 1)
    })
  })
}
