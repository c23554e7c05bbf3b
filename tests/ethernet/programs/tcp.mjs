// One end of a TCP connection: `tcp.mjs receive PORT` prints "ready" and then the SHA-256 of the received bytes;
// `tcp.mjs send ADDRESS PORT BYTES` sends that many and prints theirs.
import { createHash } from 'node:crypto'
import { connect, createServer } from 'node:net'

const [role, ...words] = process.argv.slice(2)
const hash = createHash('sha256')

if (role === 'receive') {
  const server = createServer((socket) => {
    socket.on('data', (bytes) => hash.update(bytes))
    socket.on('end', () => {
      console.log(hash.digest('hex'))
      socket.end()
      server.close()
    })
  })
  server.listen(Number(words[0]), () => console.log('ready'))
} else {
  const [address, port, bytes] = words
  const block = new Uint8Array(1 << 20)
  const socket = connect(Number(port), address)
  let left = Number(bytes)
  const more = () => {
    while (left > 0) {
      const piece = block.subarray(0, Math.min(left, block.length))
      for (let i = 0; i < piece.length; i += 97) piece[i] = (left >>> 8) + i
      left -= piece.length
      hash.update(piece)
      if (!socket.write(Uint8Array.from(piece))) return
    }
    socket.end()
  }
  socket.on('connect', more).on('drain', more)
  socket.on('close', () => console.log(hash.digest('hex')))
}
