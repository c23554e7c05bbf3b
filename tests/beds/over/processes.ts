/** Processes that would never end, and whether they are there. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { spawn } from '../child.js'

const file = () => process.env.IBVERBS_OVER!
const told = (): string[] =>
  existsSync(file()) ? readFileSync(file(), 'utf8').split('\n').filter(Boolean) : []

/** Starts one that starts another; returns the numbers of both, without giving up the thread. */
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

/** A word to the one that started the fixture. */
export const say = (words: string) => appendFileSync(file(), `${words}\n`)

/** Whether a process is there and no zombie. */
export function lives(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

/** Comes back when they are: what is killed ends in the kernel's own time. */
export async function gone(pids: number[]): Promise<void> {
  while (pids.some(lives)) await new Promise((resolve) => setTimeout(resolve, 10))
}
