// Ten seconds of an interface as a capture for Wireshark: node capture.mjs IFACE frames.pcapng [SECONDS]
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { CaptureEncoder, FrameReadable, PacketQueue } from 'ibverbs/ethernet'

const [name, file, seconds = '10'] = process.argv.slice(2)
const queue = PacketQueue.open(name, { promiscuous: true, outgoing: true, timestamps: true })
const frames = new FrameReadable(queue)
const encoder = new CaptureEncoder({ interfaces: [{ name }], statistics: () => [queue.statistics()] })

setTimeout(() => frames.stop(), Number(seconds) * 1000)
await pipeline(frames, encoder, createWriteStream(file))
const { received, dropped } = queue.statistics()
console.log(`${received} frames received, ${dropped} dropped`)
queue.close()
