// Sends datagrams whose data is given in hexadecimal. Usage: udp-source.mjs FROM_PORT ADDRESS PORT HEX…
import { createSocket } from 'node:dgram'

const [fromPort, address, port, ...data] = process.argv.slice(2)
const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
socket.bind(Number(fromPort), async () => {
  for (const each of data) {
    await new Promise((resolve, reject) => {
      socket.send(Buffer.from(each, 'hex'), Number(port), address, (error) =>
        error ? reject(error) : resolve(),
      )
    })
  }
  socket.close()
})
