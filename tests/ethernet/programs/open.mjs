// Opens a queue and prints the error. Usage: open.mjs INTERFACE [BACKEND]
import { PacketQueue } from 'ibverbs/ethernet'

try {
  PacketQueue.open(process.argv[2], { backend: process.argv[3] }).close()
  console.log('opened')
} catch (error) {
  console.log(error.code, error.syscall, error.message)
}
