import type { Readable } from 'node:stream'

/**
 * Fails a stream only after its reader has taken everything that is buffered: Node destroys a stream as soon as it gets
 * an error, and drops its buffer.
 *
 * @param fail called when the reader has taken everything and calls read() again
 */
export function afterRest(stream: Readable, fail: () => void): void {
  if (stream.readableLength === 0) {
    fail()
    return
  }
  // All readers (pipe, events, iterators) call read() until it returns null.
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
