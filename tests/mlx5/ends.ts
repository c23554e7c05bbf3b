/** Processes in direct traffic that end in one way or another: none may crash, whatever lies in its rings. */
import { join } from 'node:path'
import { expect } from 'vitest'
import { Running } from '../cli/run.js'

const programs = {
  /** Rings driven by hand. */
  rings: join(import.meta.dirname, 'programs/traffic.mjs'),
  /** The library's driver under two packet queues. */
  queues: join(import.meta.dirname, 'programs/packets.mjs'),
} as const
export type Program = keyof typeof programs

/** How a process ends, and what is seen of it. */
const ends = {
  exit: { code: 0, signal: null, stderr: '' },
  exception: { code: 1, signal: null, stderr: expect.stringContaining('Error: on purpose') },
  kill: { code: null, signal: 'SIGKILL', stderr: '' },
  terminate: { code: 0, signal: null, stderr: '' },
} as const
export type Way = keyof typeof ends
export const ways = Object.keys(ends) as Way[]

/** One process, from its traffic to its end. */
export async function endOf(program: Program, way: Way): Promise<void> {
  const running = new Running(process.execPath, ['--expose-gc', programs[program], way], { open: true })
  if (way === 'kill') {
    await running.until(/in traffic/)
    running.child.kill('SIGKILL')
  }
  const { code, signal, stderr } = await running.finished
  expect({ code, signal, stderr }).toEqual(ends[way])
}
