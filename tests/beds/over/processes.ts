/** Processes that never end, and whether they live. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { spawn } from '../child.js'

const file = () => process.env.IBVERBS_OVER!
const told = (): string[] =>
  existsSync(file()) ? readFileSync(file(), 'utf8').split('\n').filter(Boolean) : []

/** Starts a process that starts another; returns both process ids, synchronously. */
export function startTwo(name: string): number[] {
  const before = told().length
  spawn('sh', [
    '-c',
    `sleep 1000 & echo "${name} $!" >> "$IBVERBS_OVER"; echo "${name} $$" >> "$IBVERBS_OVER"; wait`,
  ])
  while (told().length < before + 2);
  return told()
    .slice(before)
    .map((line) => Number(line.split(' ')[1]))
}

/** Reports to the test that started the fixture. */
export const say = (words: string) => appendFileSync(file(), `${words}\n`)

/** Whether a process exists and is no zombie. */
export function lives(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

/** Resolves when all have ended: a killed process ends in the kernel's own time. */
export async function gone(pids: number[]): Promise<void> {
  while (pids.some(lives)) await new Promise((resolve) => setTimeout(resolve, 10))
}
