// A test that blocks its thread does not notice its timeout: then this ends the run from outside and names the test.

import { readFileSync } from 'node:fs'

/** Milliseconds beyond the longest timeout of the running tests, after which they count as hung. */
const grace = 120_000
/** A hook may set a timeout of its own, which vitest does not report. */
const longestHook = 600_000

/**
 * @param {(hung: { file: string, test: string }[]) => void} overdue receives the running tests when none has reported in
 *   time
 * @returns a vitest reporter
 */
export function watchdog(overdue, now = () => performance.now()) {
  const running = new Map() // test id → { file, test, timeout }
  const modules = new Map() // module id → file
  let heard = now()
  const hear = () => {
    heard = now()
  }
  const timer = setInterval(() => {
    const limits = [...running.values()].map(({ timeout }) => timeout)
    if (limits.length === 0 || modules.size > running.size) limits.push(longestHook)
    if (modules.size === 0 || now() - heard < Math.max(...limits) + grace) return
    clearInterval(timer)
    const tests = [...running.values()].map(({ file, test }) => ({ file, test }))
    const hooks = [...modules.values()].map((file) => ({ file, test: 'between its tests' }))
    overdue(tests.length > 0 ? tests : hooks)
  }, 1000)
  timer.unref()
  return {
    onTestModuleStart(module) {
      modules.set(module.id, module.relativeModuleId)
      hear()
    },
    onTestModuleEnd(module) {
      modules.delete(module.id)
      hear()
    },
    onTestCaseReady(test) {
      const { timeout } = test.options
      running.set(test.id, { file: test.module.relativeModuleId, test: test.fullName, timeout: timeout ?? 0 })
      hear()
    },
    onTestCaseResult(test) {
      running.delete(test.id)
      hear()
    },
    onHookStart: hear,
    onHookEnd: hear,
  }
}

/** Kills this process's children, which end their own children themselves (child.ts). */
export function killChildren() {
  for (const pid of readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1')
    .split(' ')
    .filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
}
