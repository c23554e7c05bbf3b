/**
 * What goes over a control socket: of each request a line of JSON, `{ "version": 1, "ask": NAME, … }`, and of each answer one,
 * `{ "version": 1, "pid": …, "thread": …, "answer": … }` or `{ "version": 1, "error": TEXT }`. Nothing that is asked changes
 * anything.
 */

export const protocolVersion = 1

/** Bytes of a request, and of an answer, at most. */
export const longestRequest = 4096
export const longestAnswer = 1 << 20

/** Clients of one socket at a time. */
export const mostClients = 8

export interface Request {
  version: number
  ask: string
  /** Of `rings`: how many of the last entries of each ring. */
  entries?: number
}

export interface Answer {
  pid: number
  /** worker_threads.threadId; 0 is the main thread. */
  thread: number
  answer: unknown
}

/** The name of a thread's socket. */
export const socketName = (pid: number, thread: number): string => `${pid}.${thread}.sock`

/** Undefined for a file that is none. */
export function socketOf(name: string): { pid: number; thread: number } | undefined {
  const match = /^([1-9]\d{0,9})\.(\d{1,9})\.sock$/.exec(name)
  return match ? { pid: Number(match[1]), thread: Number(match[2]) } : undefined
}
