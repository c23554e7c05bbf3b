// Prints the address, the port and the data of each datagram that the kernel delivers. Usage: udp-sink.mjs ADDRESS PORT
import { createSocket } from 'node:dgram'

const [address, port] = process.argv.slice(2)
const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
socket.on('message', (data, from) => console.log(`${from.address} ${from.port} ${data.toString('hex')}`))
socket.bind(Number(port), address, () => console.log('ready'))
process.stdin.resume().on('end', () => socket.close())
