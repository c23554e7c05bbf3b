// The rings of a packet queue in plain memory, with a stand-in kernel that moves addresses from one to the other.
import {
  AddressRecord,
  allocateRing,
  Consumer,
  cells,
  DescriptorRecord,
  Producer,
} from '../../../dist/ring/ring.js'

export class MemoryPort {
  name = 'af_xdp'
  zeroCopy = false
  syscalls = { receive: 'poll', transmit: 'sendto' }
  report = { backend: 'af_xdp' }
  chunkSize = 2048
  describes = false
  scarce = 2 ** 30
  longest = cells(1).fill(1514)
  attention = cells(1)
  takesAll = false
  completesOnKick = false
  failing = false
  dropped = 0

  constructor(capacity, length) {
    const fill = allocateRing(capacity, AddressRecord.words)
    const receive = allocateRing(capacity, DescriptorRecord.words)
    const transmit = allocateRing(capacity, DescriptorRecord.words)
    const completion = allocateRing(capacity, AddressRecord.words)
    this.length = length
    this.fill = new Producer(fill, AddressRecord.words)
    this.receive = new Consumer(receive, DescriptorRecord.words)
    this.transmit = new Producer(transmit, DescriptorRecord.words)
    this.completion = new Consumer(completion, AddressRecord.words)
    this.kernel = {
      fill: new Consumer(fill, AddressRecord.words),
      receive: new Producer(receive, DescriptorRecord.words),
      transmit: new Consumer(transmit, DescriptorRecord.words),
      completion: new Producer(completion, AddressRecord.words),
    }
  }

  /** Delivers received frames, at most `most`. */
  deliver(most) {
    const { fill, receive } = this.kernel
    const count = Math.min(most, fill.available())
    for (let i = 0; i < count; i++) {
      const at = receive.push()
      receive.words[at + DescriptorRecord.address] = fill.words[fill.at(i) + AddressRecord.address]
      receive.words[at + DescriptorRecord.length] = this.length
    }
    fill.consume(count)
    receive.publish()
  }

  poll() {
    return this.receive.available()
  }

  kick() {
    const { transmit, completion } = this.kernel
    const count = transmit.available()
    for (let i = 0; i < count; i++) {
      const at = completion.push()
      completion.words[at + AddressRecord.address] = transmit.words[transmit.at(i) + DescriptorRecord.address]
    }
    transmit.consume(count)
    completion.publish()
    return 0
  }

  arm() {}
  disarm() {}
  statistics({ received, truncated }) {
    return { received, truncated, drops: {} }
  }
  close() {}
}
