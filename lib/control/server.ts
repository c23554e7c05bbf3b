/** The program's end of its control socket. It keeps no process alive, and does nothing until somebody asks. */
import { chmodSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { threadId } from 'node:worker_threads'
import { native } from '../native.js'
import { answer } from './answers.js'
import { controlError } from './error.js'
import { user } from './folder.js'
import { longestAnswer, longestRequest, mostClients, protocolVersion, type Request } from './protocol.js'

/** Milliseconds that a client may say and take nothing. */
const patience = 10_000

/** Bytes of a Unix socket's path: sun_path without its zero (unix(7)). libuv would cut a longer one off. */
const longestPath = 107

const line = (value: object): string => `${JSON.stringify({ version: protocolVersion, ...value })}\n`

/** The answer to a line, whatever it is. */
function answerTo(text: string): string {
  try {
    const request = parsed(text)
    const result = line({ pid: process.pid, thread: threadId, answer: answer(request) })
    return result.length <= longestAnswer ? result : line({ error: 'the answer is too long: ask for less' })
  } catch (error) {
    return line({ error: error instanceof Error ? error.message : String(error) })
  }
}

function parsed(text: string): Request {
  let request: unknown
  try {
    request = JSON.parse(text)
  } catch {
    throw new Error('a request is a line of JSON')
  }
  if (typeof request !== 'object' || request === null) throw new Error('a request is an object')
  const { version } = request as Request
  if (version !== protocolVersion) {
    throw new Error(`this program speaks version ${protocolVersion} of the control protocol`)
  }
  return request as Request
}

/** Listens at a path, where nothing may be. */
export class ControlServer {
  readonly path: string
  readonly #server: Server
  readonly #clients = new Set<Socket>()

  private constructor(path: string) {
    this.path = path
    this.#server = createServer((socket) => this.#serve(socket))
    this.#server.unref()
  }

  /**
   * @throws Error ERR_IBVERBS_CONTROL for a path that is too long; the error of bind(2)
   */
  static listen(path: string): Promise<ControlServer> {
    if (Buffer.byteLength(path) > longestPath) {
      throw controlError(
        `${path} is longer than a Unix socket's path may be (${longestPath} bytes): set XDG_RUNTIME_DIR to a shorter one`,
      )
    }
    const made = new ControlServer(path)
    return new Promise((resolve, reject) => {
      made.#server.once('error', reject)
      // In a process of node:cluster's, the first process would listen in its place.
      made.#server.listen({ path, exclusive: true, backlog: mostClients }, () => {
        made.#server.off('error', reject)
        // A failed accept(2) (EMFILE) is the client's loss.
        made.#server.on('error', () => {})
        process.once('exit', made.#exit)
        chmodSync(path, 0o600)
        resolve(made)
      })
    })
  }

  close(): void {
    process.off('exit', this.#exit)
    for (const client of this.#clients) client.destroy()
    this.#server.close() // libuv removes the file
  }

  /** libuv removes the file when it closes the socket, which happens at a worker's end, but not at the process's. */
  #exit = (): void => {
    try {
      unlinkSync(this.path)
    } catch {
      // somebody did before
    }
  }

  #serve(socket: Socket): void {
    socket.unref()
    socket.on('error', () => {})
    if (!isOwn(socket)) {
      refuse(socket, 'only processes of the same user may ask')
      return
    }
    if (this.#clients.size === mostClients) {
      refuse(socket, `${mostClients} others are asking: try again`)
      return
    }
    this.#clients.add(socket)
    socket.on('close', () => this.#clients.delete(socket))
    socket.setTimeout(patience, () => socket.destroy())
    socket.setEncoding('utf8')
    let pending = ''
    const work = (): void => {
      // One answer at a time: who does not take them gets no more.
      while (!socket.writableNeedDrain && !socket.writableEnded) {
        const end = pending.indexOf('\n')
        if (end > longestRequest || (end < 0 && pending.length > longestRequest)) {
          refuse(socket, `a request has ${longestRequest} bytes at most`)
          return
        }
        if (end < 0) break
        const text = pending.slice(0, end)
        pending = pending.slice(end + 1)
        socket.write(answerTo(text))
      }
      if (socket.writableNeedDrain) socket.pause()
      else socket.resume()
    }
    socket.on('data', (part) => {
      pending += part
      work()
    })
    socket.on('drain', work)
  }
}

/** Whether the client's process is of this process's user; false where that cannot be known. */
function isOwn(socket: Socket): boolean {
  // Node tells a socket's descriptor nowhere else.
  const { fd } = (socket as unknown as { _handle: { fd?: number } | null })._handle ?? {}
  if (fd === undefined || fd < 0) return false
  try {
    return native.control.peerOwner(fd) === user()
  } catch {
    return false
  }
}

function refuse(socket: Socket, why: string): void {
  socket.pause()
  socket.end(line({ error: why }), () => socket.destroy())
}
