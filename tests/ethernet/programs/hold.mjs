// Opens an AF_XDP queue and holds it until its input ends. Usage: hold.mjs INTERFACE
import { PacketQueue } from 'ibverbs/ethernet'

const queue = PacketQueue.open(process.argv[2], { backend: 'af_xdp' })
console.log('open')
process.stdin.resume().on('end', () => queue.close())
