import { unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { codeOf } from './error.js'
import { ownFolder } from './folder.js'
import { socketName } from './protocol.js'
import { ControlServer } from './server.js'

/** A thread's control socket, by which processes of the same user may look at it. */
export interface ControlSocket extends Disposable {
  /** Its file. */
  readonly path: string
  /** Nobody can ask any more. Closing twice is harmless. */
  close(): void
}

let open: Promise<ControlSocket> | undefined

/**
 * Lets other processes of this user look at this thread: `ibverbs explain --attach` shows the rings of its queues. A Unix
 * socket in $XDG_RUNTIME_DIR/ibverbs or /tmp/ibverbs-UID, a folder that only the user may enter; nothing that is asked there
 * changes anything, and the event loop answers between two turns. The socket does not keep the process alive and is gone with
 * it. IBVERBS_CONTROL=1 in the environment does the same when the addon is loaded. A worker has a socket of its own. A second
 * call gets the first one's socket.
 *
 * @throws Error ERR_IBVERBS_CONTROL when the folder is not the user's own; the error of mkdir(2) or bind(2)
 */
export function control(): Promise<ControlSocket> {
  if (open) return open
  const opening = openSocket(() => {
    if (open === opening) open = undefined
  })
  open = opening
  opening.catch(() => {
    if (open === opening) open = undefined
  })
  return opening
}

async function openSocket(closed: () => void): Promise<ControlSocket> {
  const path = join(ownFolder(), socketName(process.pid, threadId))
  try {
    // Of a process that had this number before, and was killed.
    unlinkSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
  const server = await ControlServer.listen(path)
  let isOpen = true
  const close = (): void => {
    if (!isOpen) return
    isOpen = false
    server.close()
    closed()
  }
  return { path, close, [Symbol.dispose]: close }
}
