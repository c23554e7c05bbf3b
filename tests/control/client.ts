/** A client that says what it likes. */
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'

export class Client {
  readonly socket: Socket
  text = ''
  /** Resolves when the other end has closed. */
  readonly closed: Promise<unknown>

  constructor(path: string) {
    this.socket = createConnection({ path })
    this.socket.on('error', () => {})
    this.socket.setEncoding('utf8')
    this.socket.on('data', (part: string) => {
      this.text += part
    })
    this.closed = new Promise((resolve) => this.socket.once('close', resolve))
  }

  /** The next line. */
  async line(): Promise<Record<string, unknown>> {
    while (!this.text.includes('\n')) {
      await Promise.race([
        once(this.socket, 'data'),
        this.closed.then(() => {
          if (!this.text.includes('\n')) throw new Error(`closed after ${JSON.stringify(this.text)}`)
        }),
      ])
    }
    const end = this.text.indexOf('\n')
    const line = this.text.slice(0, end)
    this.text = this.text.slice(end + 1)
    return JSON.parse(line)
  }

  say(text: string | Uint8Array): Promise<Record<string, unknown>> {
    this.socket.write(text)
    return this.line()
  }
}
