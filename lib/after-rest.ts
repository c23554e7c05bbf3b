import type { Readable } from 'node:stream'

/**
 * Fails a stream behind what it has delivered, not in front of it: Node destroys a stream at once when it gets an error,
 * and what its reader has not taken by then is gone.
 *
 * @param fail called when the reader has taken everything and asks for more
 */
export function afterRest(stream: Readable, fail: () => void): void {
  if (stream.readableLength === 0) {
    fail()
    return
  }
  // All readers (pipe, events, iterators) call read() until it gives null.
  const { read } = stream
  stream.read = (size?: number) => {
    const taken = read.call(stream, size)
    if (taken === null && stream.readableLength === 0) {
      stream.read = read
      fail()
    }
    return taken
  }
}
