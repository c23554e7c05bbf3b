// Parses the guest's output, as init.sh sends it.

/**
 * What comes through one virtio-serial port: token, a line, the command's bytes, token,
 * and `extra` bytes more. Passes the command's bytes on at once, holding back only bytes that
 * may be the beginning of the token.
 *
 * @param {import('node:net').Socket} socket
 * @param {object} handlers
 * @param {string} handlers.token
 * @param {number} handlers.extra
 * @param {import('./vm.mjs').Sink} handlers.sink
 * @param {(line: string) => void} handlers.begin
 * @param {(extra: string) => void} handlers.end
 */
export function readPort(socket, { token, extra, sink, begin, end }) {
  const mark = Buffer.from(token)
  let state = 'booting'
  let rest = Buffer.alloc(0)

  const pass = (chunk) => {
    if (chunk.length === 0 || sink === 'ignore') return
    if (typeof sink === 'function') return sink(chunk)
    if (sink.write(chunk)) return
    socket.pause() // and the guest's writer waits
    sink.once('drain', () => socket.resume())
  }

  socket.on('error', () => {}) // that QEMU ended is reported by the process itself
  socket.on('data', (chunk) => {
    if (state === 'ended') return
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    let at = rest.indexOf(mark)
    if (state === 'booting') {
      const newline = rest.indexOf('\n', at + mark.length)
      if (at < 0 || newline < 0) return
      state = 'running'
      begin(rest.toString('latin1', at + mark.length, newline))
      rest = rest.subarray(newline + 1)
      at = rest.indexOf(mark)
    }
    if (at < 0) {
      const held = beginningAtEnd(rest, mark)
      pass(rest.subarray(0, rest.length - held))
      rest = rest.subarray(rest.length - held)
    } else if (rest.length >= at + mark.length + extra) {
      state = 'ended'
      pass(rest.subarray(0, at))
      end(rest.toString('latin1', at + mark.length, at + mark.length + extra))
    }
  })
}

/** Number of bytes at the end of data that may begin the mark. */
function beginningAtEnd(data, mark) {
  for (let n = Math.min(data.length, mark.length - 1); n > 0; n--) {
    if (data.subarray(data.length - n).equals(mark.subarray(0, n))) return n
  }
  return 0
}

/** The last lines of the console. */
export function lastLines(count) {
  let text = ''
  return {
    add(chunk) {
      text = (text + chunk.toString('latin1')).slice(-65536)
    },
    lines() {
      const lines = text.replaceAll('\r', '').split('\n')
      return lines.filter((line) => line.trim() !== '').slice(-count)
    },
  }
}
