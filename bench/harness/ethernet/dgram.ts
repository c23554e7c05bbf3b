// node:dgram for the round trip: 64 bytes of UDP payload each way over loopback, each end in a process of its own.
//
//   dgram.js                     → ready
//   port                         → [port]
//   reflect COUNT WARMUP         → [datagrams]                       back to their sender
//   round-trip COUNT WARMUP PORT → [p50, p99]                        µs
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { percentile } from '../statistics.js'

/** Milliseconds for a whole round: a longer one has lost a datagram. */
const timeout = 30_000
const payload = new Uint8Array(64).fill(0x5a)
const socket = createSocket('udp4').bind(0, '127.0.0.1')
await once(socket, 'listening')

/** Datagrams that arrived before a request: the other end may be faster than the line that announces it. */
const early: [Buffer, number][] = []
let take = (message: Buffer, port: number): unknown => early.push([message, port])
socket.on('message', (message, { port }) => take(message, port))

/** Calls `onMessage` for each datagram until `total` have arrived. */
function messages(
  total: number,
  onMessage: (message: Buffer, port: number, count: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let count = 0
    const overdue = setTimeout(() => reject(new Error(`${count} of ${total} datagrams came`)), timeout)
    take = (message, port) => {
      count++
      onMessage(message, port, count)
      if (count < total) return
      clearTimeout(overdue)
      take = (...one) => early.push(one)
      resolve()
    }
    for (const [message, port] of early.splice(0)) take(message, port)
  })
}

const commands: Record<string, (count: number, warmup: number, port: number) => Promise<number[]>> = {
  port: async () => [socket.address().port],
  async reflect(count, warmup) {
    await messages(count + warmup, (message, port) => socket.send(message, port, '127.0.0.1'))
    return [count + warmup]
  },
  async 'round-trip'(count, warmup, port) {
    const times = new Float64Array(count + warmup)
    let begin = performance.now()
    const send = () => {
      begin = performance.now()
      socket.send(payload, port, '127.0.0.1')
    }
    const done = messages(count + warmup, (message, _port, received) => {
      times[received - 1] = performance.now() - begin
      if (message.length !== payload.length) throw new Error(`a datagram of ${message.length} bytes`)
      if (received < count + warmup) send()
    })
    send()
    await done
    const sorted = times.slice(warmup).sort()
    return [50, 99].map((percent) => percentile(sorted, percent) * 1000)
  },
}

console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...numbers] = line.split(' ')
  const [count, warmup, port] = numbers.map(Number)
  console.log(JSON.stringify(await commands[command](count, warmup, port)))
}
socket.close()
