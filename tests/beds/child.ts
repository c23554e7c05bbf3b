/**
 * The only way for tests to start processes: like node:child_process, but each process, with everything it has started, ends
 * with the test that started it (between tests: with the file), however that test ends. If the test's own process is killed,
 * a waiting shell ends them (reaper.mjs).
 */
import * as node from 'node:child_process'
import { once } from 'node:events'
import { TestRunner } from 'vitest'
import { onOver } from './over.js'
import { describeGroup } from './process-group.js'
import { mark } from './reaper.mjs'

export type { ChildProcess } from 'node:child_process'

/**
 * Ends a whole process group. Its number is not reused as long as one of its processes lives, so kill(2) may be repeated
 * until it finds none.
 */
function endGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // None left.
  }
}

const marked = <T extends { env?: NodeJS.ProcessEnv }>(options: T): T => ({
  ...options,
  env: { ...(options.env ?? process.env), ...mark },
  // A process group of its own, for all processes that the command starts.
  detached: true,
})

type Words = readonly string[]

export interface SpawnOptions extends node.SpawnOptions {
  /** The process ends with the file, not with the test that starts it. */
  outlivesTest?: boolean
  /** What it has printed, for the report of a failed test that it outlived. */
  printed?: () => string
}

/** spawn of node:child_process. */
export const spawn = ((command: string, args: Words = [], options: SpawnOptions = {}) => {
  const { outlivesTest, printed, ...rest } = options
  const test = TestRunner.getCurrentTest()
  const child = node.spawn(command, args, marked(rest))
  const leader = child.pid
  if (leader === undefined) return child
  const end = async () => {
    const lives = child.exitCode === null && child.signalCode === null
    if (lives && test?.result?.state === 'fail') {
      // What hung once in hundreds of runs is to be understood from this one.
      console.error(
        `At the end of the failed test “${test.name}”:\n${describeGroup(leader)}\n${printed?.() ?? ''}`,
      )
    }
    endGroup(leader)
    if (lives) await once(child, 'exit')
  }
  onOver(end, { ofFile: outlivesTest })
  return child
}) as typeof node.spawn & ((command: string, args: Words, options: SpawnOptions) => node.ChildProcess)

/** Milliseconds that a synchronous command may take: nothing else runs meanwhile, not even a test's own timeout. */
const syncTimeout = 60_000

/** spawnSync of node:child_process. */
export const spawnSync = ((command: string, args: Words = [], options: node.SpawnSyncOptions = {}) => {
  const limits = { timeout: syncTimeout, killSignal: 'SIGKILL' } as const
  const result = node.spawnSync(command, args, marked({ ...limits, ...options }))
  if (result.pid) endGroup(result.pid)
  return result
}) as typeof node.spawnSync

/** execFileSync of node:child_process. */
export const execFileSync = ((command: string, args: Words = [], options: node.ExecFileSyncOptions = {}) => {
  const result = spawnSync(command, args, options)
  if (result.error) throw result.error
  if (result.status !== 0) {
    const how = result.signal ?? `code ${result.status}`
    throw Object.assign(
      new Error(`${[command, ...args].join(' ')} ended with ${how}: ${result.stderr}`),
      result,
    )
  }
  return result.stdout
}) as typeof node.execFileSync

/** Runs a command to its end; throws its output unless it succeeds. */
export async function execute(
  command: string,
  args: Words,
  options: node.SpawnOptions = {},
): Promise<{ stdout: string; stderr: string }> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [code, signal] = await once(child, 'close')
  if (code !== 0) {
    const how = `${[command, ...args].join(' ')} ended with ${signal ?? `code ${code}`}: ${stdout}${stderr}`
    throw Object.assign(new Error(how), { code, signal, stdout, stderr })
  }
  return { stdout, stderr }
}
