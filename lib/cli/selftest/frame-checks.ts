/** Checks of raw frames: the library's driver of a ConnectX, with frames from the port to its own address. */
import { FrameFlag, PacketQueue, type PacketQueueOptions } from '../../ethernet/index.js'
import { EtherType, IpProtocol, ipv4, udp } from '../../headers/index.js'
import { queryDevice } from '../../mlx5/index.js'
import { type Bench, pattern, Skip } from './bench.js'
import type { Check } from './check.js'
import { assertBytes, assertEqual, assertTrue } from './mismatch.js'

/** Local experimental EtherType (IEEE 802): nobody else's frames come here. */
const experimental = 0x88b5
const header = 14
const longest = 1514

/** A queue that takes frames of one type to the port's own address, and nothing else. */
function openQueue(bench: Bench, options: PacketQueueOptions = {}): PacketQueue {
  try {
    return bench.closing(
      PacketQueue.open(`${bench.device}/${bench.port}`, {
        backend: 'mlx5',
        etherType: experimental,
        ...options,
      }),
    )
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EPERM') throw new Skip(`raw frames need CAP_NET_RAW: ${message}`)
    throw error
  }
}

function fill(queue: PacketQueue, slot: number, number: number, length: number): Uint8Array {
  const at = queue.offset(slot)
  const { macBytes } = queue.interface
  const frame = new Uint8Array(length)
  frame.set([...macBytes, ...macBytes, experimental >> 8, experimental & 0xff, number >> 8, number & 0xff])
  frame.set(pattern(length - header - 2, number), header + 2)
  queue.memory.set(frame, at)
  return frame
}

/** Frames in batches of every size up to more than a multi-packet request holds, of every length. */
async function frames(bench: Bench): Promise<Record<string, unknown>> {
  const queue = openQueue(bench)
  const { flags, compression } = queryDevice(bench.context)
  let number = 0
  for (const batch of [1, 2, 3, 31, 60, 61, 62, 64, 122]) {
    const sent: Uint8Array[] = []
    for (let i = 0; i < batch; i++) {
      const slot = queue.claim()
      assertTrue('no free frame to send', slot >= 0)
      sent.push(fill(queue, slot, number & 0xffff, 60 + ((number * 97) % (longest - 59))))
      queue.send(slot, sent[i].length)
      number++
    }
    queue.submit()
    await bench.inTime(`a batch of ${batch} frames was not taken`, (signal) => queue.drain({ signal }))
    let come = 0
    while (come < batch) {
      await bench.inTime(
        `${come} of ${batch} frames came back to the port that sent them: does it send to itself? No more came`,
        (signal) => queue.wait({ signal }),
      )
      const count = queue.receive()
      for (let i = 0; i < count; i++, come++) {
        const slot = queue.slot(i)
        const at = queue.offset(slot)
        assertTrue(`a batch of ${batch}: more frames came than were sent`, come < batch)
        const found = queue.memory.slice(at, at + queue.length(slot))
        queue.release(slot)
        assertBytes(`frame ${come} of a batch of ${batch}`, found, sent[come])
      }
    }
  }
  return {
    frames: number,
    multiPacket: flags.includes('ENHANCED_MPW'),
    compressed: compression?.formats.includes('HASH') ?? false,
  }
}

/** UDP datagrams whose checksums the device writes, and judges when they come. */
async function checksums(bench: Bench): Promise<void> {
  if (!bench.context.queryDevice().rawPacketCapabilities.includes('IP_CSUM')) {
    throw new Skip('the device computes no checksums')
  }
  const discard = 9
  const flows = [{ etherType: EtherType.ipv4, protocol: IpProtocol.udp, destinationPort: discard }] as const
  const queue = openQueue(bench, { etherType: undefined, flows: [...flows], transmitChecksum: true })
  for (const length of [18, 100, 1400]) {
    const slot = queue.claim()
    const at = queue.offset(slot)
    const { macBytes } = queue.interface
    const frame = new Uint8Array(header + 28 + length)
    frame.set([...macBytes, ...macBytes, 8, 0])
    const datagram = udp.headerLength + length
    // Addresses for examples (RFC 5737).
    const [from, to] = ['192.0.2.1', '192.0.2.2'].map((address) => ipv4.parse(address))
    const ip = ipv4.write(frame, header, datagram, IpProtocol.udp, from, to)
    frame.set(pattern(length, length), udp.write(frame, ip, discard, discard, length))
    const sent = frame.slice()
    ipv4.setChecksum(sent, header, 0)
    udp.setChecksum(sent, ip, 0)
    queue.memory.set(sent, at)
    queue.send(slot, sent.length)
    queue.submit()
    ipv4.writeChecksum(frame, header)
    udp.writeChecksum(frame, ip, header)
    await bench.inTime(`a datagram of ${length} bytes did not come back`, (signal) => queue.wait({ signal }))
    queue.receive()
    const back = queue.slot(0)
    const place = queue.offset(back)
    const found = queue.memory.slice(place, place + queue.length(back))
    const valid = (queue.flags(back) & FrameFlag.checksumValid) !== 0
    queue.release(back)
    assertBytes(`a datagram of ${length} bytes with its checksums`, found, frame)
    assertEqual(`a datagram of ${length} bytes: the device found its checksums right`, valid, true)
  }
}

export const frameChecks: Check[] = [
  { name: 'frames', what: 'raw frames to itself, in batches', run: frames },
  { name: 'checksums', what: 'checksums written and judged', run: checksums },
]
