/** The programs that can be asked. */
import { lstatSync, readdirSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { ProgramAnswer } from './answers.js'
import { ask } from './client.js'
import { codeOf, controlError } from './error.js'
import { foldersThere, user } from './folder.js'
import { socketOf } from './protocol.js'

/** A thread with a control socket. */
export interface Asked {
  pid: number
  /** 0 is the main thread. */
  thread: number
  path: string
}

/** A thread that can be asked, with what it says about itself, or why it does not. */
export type Program = Asked & ({ program: ProgramAnswer } | { problem: string })

/** Milliseconds between a socket's birth and its ears: its file is there before it listens. */
const youth = 10_000

/** What to call a thread in messages. */
export const nameOf = ({ pid, thread }: Pick<Asked, 'pid' | 'thread'>): string =>
  thread === 0 ? `process ${pid}` : `thread ${thread} of process ${pid}`

function sockets(): Asked[] {
  const found = foldersThere().flatMap((folder) =>
    readdirSync(folder).flatMap((name) => {
      const socket = socketOf(name)
      return socket ? [{ ...socket, path: join(folder, name) }] : []
    }),
  )
  return found.sort((a, b) => a.pid - b.pid || a.thread - b.thread)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) !== 'ESRCH'
  }
}

/** Removes what a killed process has left. */
function removeIfDead({ pid, path }: Asked): boolean {
  try {
    if (isAlive(pid) && Date.now() - lstatSync(path).mtimeMs < youth) return false
    unlinkSync(path)
  } catch {
    // gone already
  }
  return true
}

/**
 * Every thread of this user's that can be asked. Files of processes that were killed are removed.
 *
 * @throws Error ERR_IBVERBS_CONTROL when the folder is not the user's own
 */
export async function listPrograms(): Promise<Program[]> {
  const listed = await Promise.all(
    sockets().map(async (socket): Promise<Program[]> => {
      try {
        const { answer } = await ask(socket.path, nameOf(socket), { ask: 'program' })
        return [{ ...socket, program: answer as ProgramAnswer }]
      } catch (error) {
        const { message, cause } = error as Error
        if (codeOf(cause) === 'ENOENT') return []
        if (codeOf(cause) === 'ECONNREFUSED' && removeIfDead(socket)) return []
        return [{ ...socket, problem: message }]
      }
    }),
  )
  return listed.flat()
}

/**
 * The threads of a process that can be asked.
 *
 * @throws Error ERR_IBVERBS_CONTROL that says why there are none
 */
export function threadsOf(pid: number): Asked[] {
  const threads = sockets().filter((socket) => socket.pid === pid)
  if (threads.length > 0 && isAlive(pid)) return threads
  let owner: number
  try {
    owner = statSync(`/proc/${pid}`).uid
  } catch {
    throw controlError(`there is no process ${pid}`)
  }
  if (owner !== user()) {
    throw controlError(`process ${pid} belongs to user ${owner}: only programs of one's own can be asked`)
  }
  throw controlError(
    `process ${pid} did not ask to be looked at: it must run with IBVERBS_CONTROL=1, or call control()`,
  )
}
