// A queue with rules on a NIC that supports them (ntuple-driver.c). Usage: steer.mjs INTERFACE OPTIONS, as JSON
import { PacketQueue } from 'ibverbs/ethernet'

const [name, options] = process.argv.slice(2)
try {
  PacketQueue.open(name, { backend: 'af_xdp', ...JSON.parse(options) }).close()
  console.log('closed')
} catch (error) {
  console.log(error.code, error.syscall, error.message)
}
