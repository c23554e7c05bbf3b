/** Checks of what libibverbs and the device do together: every kind of request, sent to itself. */
import { CompletionFlag, type QueuePair } from '../../index.js'
import { DeviceClock } from '../../mlx5/index.js'
import { type Bench, pattern, Skip } from './bench.js'
import type { Check } from './check.js'
import { assertBytes, assertEqual, assertTrue } from './mismatch.js'

const page = 4096
/** What one message of each length finds: in one packet, at its limits, and in several. */
const lengths = [1, 63, 64, 1024, 1025, page]

const [receiveCookie, sendCookie] = [1, 2]

/** Both completions of a message; none may have failed. */
async function both(bench: Bench, cq: Parameters<Bench['completions']>[0], what: string) {
  const completions = await bench.completions(cq, 2, what)
  for (const { status, cookie } of completions) {
    assertEqual(`${what}: the status of the ${cookie === sendCookie ? 'send' : 'receive'}`, status, 'SUCCESS')
  }
  return completions.find(({ cookie }) => cookie === receiveCookie)
}

async function messages(bench: Bench, type: 'RC' | 'UC'): Promise<void> {
  const { domain, cq, pair } = bench.connected(type)
  const memory = domain.registerMemory(2 * page)
  const receive = pair.prepareReceive({ memory })
  const forms = [
    ['a send', pair.prepareSend({ memory })],
    ['a send with immediate data', pair.prepareSend({ memory, immediate: 0x12345678 })],
    ['an inline send', pair.prepareSend({ memory, inline: true })],
  ] as const
  for (const [name, send] of forms) {
    for (const length of lengths) {
      if (name === 'an inline send' && length > pair.capabilities.maxInline) continue
      const what = `${name} of ${length} bytes`
      const bytes = pattern(length, length)
      memory.bytes.fill(0)
      memory.bytes.set(bytes, 0)
      receive.post(receiveCookie, page, page)
      pair.submit()
      send.post(sendCookie, 0, length)
      pair.submit()
      const received = await both(bench, cq, what)
      assertEqual(`${what}: the length received`, received?.byteLength, length)
      assertBytes(what, memory.bytes.slice(page, page + length), bytes)
      const hasImmediate = ((received?.flags ?? 0) & CompletionFlag.WITH_IMM) !== 0
      assertEqual(`${what}: immediate data`, hasImmediate, name.includes('immediate'))
      if (hasImmediate) assertEqual(`${what}: immediate data`, received?.immediate, 0x12345678)
    }
  }
}

async function transfers(bench: Bench): Promise<void> {
  const { domain, cq, pair } = bench.connected('RC')
  const memory = domain.registerMemory(page)
  const there = domain.registerMemory(page, { access: ['LOCAL_WRITE', 'REMOTE_WRITE', 'REMOTE_READ'] })
  const write = pair.prepareWrite({ memory, remote: there.remote })
  const read = pair.prepareRead({ memory, remote: there.remote })
  for (const length of lengths) {
    const bytes = pattern(length, 3)
    memory.bytes.set(bytes)
    there.bytes.fill(0)
    await one(bench, cq, pair, `a write of ${length} bytes`, () => write.post(sendCookie, 0, length, 0))
    assertBytes(`a write of ${length} bytes`, there.bytes.slice(0, length), bytes)
    memory.bytes.fill(0)
    await one(bench, cq, pair, `a read of ${length} bytes`, () => read.post(sendCookie, 0, length, 0))
    assertBytes(`a read of ${length} bytes`, memory.bytes.slice(0, length), bytes)
  }
}

async function one(
  bench: Bench,
  cq: Parameters<Bench['completions']>[0],
  pair: QueuePair,
  what: string,
  post: () => number,
  status = 'SUCCESS',
): Promise<void> {
  assertEqual(`${what}: places in the ring`, post(), 0)
  pair.submit()
  const [completion] = await bench.completions(cq, 1, what)
  assertEqual(`${what}: the status`, completion.status, status)
}

async function atomics(bench: Bench): Promise<void> {
  if (bench.context.queryDevice().atomicCap === 'NONE') throw new Skip('the device has no atomics')
  const { domain, cq, pair } = bench.connected('RC')
  const memory = domain.registerMemory(64)
  const there = domain.registerMemory(64, { access: ['LOCAL_WRITE', 'REMOTE_ATOMIC'] })
  const [here, remote] = [memory, there].map(({ bytes }) => new DataView(bytes.buffer, bytes.byteOffset, 8))
  const add = pair.prepareFetchAndAdd({ memory, remote: there.remote })
  const swap = pair.prepareCompareAndSwap({ memory, remote: there.remote })
  const isLittle = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1
  remote.setBigUint64(0, 0xffff_ffffn, isLittle)
  await one(bench, cq, pair, 'a fetch-and-add', () => add.post(sendCookie, 0, 0, 2, 0))
  assertEqual('a fetch-and-add: what was there', here.getBigUint64(0, isLittle), 0xffff_ffffn)
  assertEqual('a fetch-and-add: what is there', remote.getBigUint64(0, isLittle), 0x1_0000_0001n)
  await one(bench, cq, pair, 'a compare-and-swap', () => swap.post(sendCookie, 0, 0, 1, 1, 7, 9))
  assertEqual('a compare-and-swap: what was there', here.getBigUint64(0, isLittle), 0x1_0000_0001n)
  assertEqual('a compare-and-swap: what is there', remote.getBigUint64(0, isLittle), 0x9_0000_0007n)
}

async function datagrams(bench: Bench): Promise<void> {
  const domain = bench.domain()
  const cq = bench.closing(bench.context.createCompletionQueue(64))
  const sizes = { maxSendWr: 8, maxReceiveWr: 8 }
  const pair = bench.closing(
    domain.createQueuePair({ type: 'UD', cq, port: bench.port, queueKey: 0x1234, ...sizes }),
  )
  pair.connect()
  const memory = domain.registerMemory(2 * page)
  const { gid, lid } = pair.endpoint
  const addressHandle = domain.createAddressHandle({ gid, lid, port: bench.port, gidIndex: pair.gidIndex })
  const send = pair.prepareSend({
    ...{ memory, addressHandle, remoteQueuePair: pair.number, remoteQueueKey: 0x1234 },
  })
  const receive = pair.prepareReceive({ memory })
  /** Before a datagram lies its global route header (ibv_post_recv(3)). */
  const header = 40
  for (const length of [1, 64, 1000]) {
    const what = `a datagram of ${length} bytes`
    const bytes = pattern(length, 5)
    memory.bytes.fill(0)
    memory.bytes.set(bytes)
    receive.post(receiveCookie, page, page)
    pair.submit()
    send.post(sendCookie, 0, length)
    pair.submit()
    const received = await both(bench, cq, what)
    assertEqual(`${what}: the length received, with the route header`, received?.byteLength, length + header)
    assertBytes(what, memory.bytes.slice(page + header, page + header + length), bytes)
  }
}

async function refusals(bench: Bench): Promise<void> {
  // Of one queue pair that is both ends, the end that refuses takes the other with it into the error state.
  const { domain, cq, pair } = bench.joined()
  const memory = domain.registerMemory(page)
  const there = domain.registerMemory(page, { access: ['LOCAL_WRITE'] })
  const write = pair.prepareWrite({ memory, remote: there.remote })
  there.bytes.fill(0x55)
  const what = 'a write to memory that does not allow it'
  await one(bench, cq, pair, what, () => write.post(sendCookie, 0, 64, 0), 'REM_ACCESS_ERR')
  assertBytes(`${what}: the memory`, there.bytes.slice(), new Uint8Array(page).fill(0x55))
}

async function timestamps(bench: Bench): Promise<void> {
  const { domain, cq, pair } = bench.connected('RC', { timestamps: true })
  const memory = domain.registerMemory(2 * page)
  const clock = DeviceClock.of(bench.context)
  const receive = pair.prepareReceive({ memory })
  const send = pair.prepareSend({ memory })
  let last = 0n
  for (let i = 0; i < 20; i++) {
    receive.post(receiveCookie, page, page)
    pair.submit()
    const before = BigInt(Date.now()) * 1_000_000n
    send.post(sendCookie, 0, 64)
    pair.submit()
    for (let n = 0; n < 2; ) {
      const count = await bench.inTime('a completion with a timestamp', (signal) => cq.wait({ signal }))
      clock.refresh()
      for (let row = 0; row < count; row++) {
        assertEqual(`completion ${i}: its status`, cq.statusName(row), 'SUCCESS')
        const cycles = (BigInt(cq.timestampHigh[row]) << 32n) | BigInt(cq.timestampLow[row])
        const at = clock.nanoseconds(cycles)
        const after = BigInt(Date.now() + 1) * 1_000_000n
        // The clocks are compared by the millisecond, and the kernel's relation of them is as good as that at least.
        const slack = 5_000_000n
        assertTrue(
          `completion ${i}: its time, ${at}, is not between ${before} and ${after}, when it was sent and seen`,
          at >= before - slack && at <= after + slack,
        )
        if (cq.cookie[row] === receiveCookie) {
          assertTrue(`completion ${i}: its time, ${at}, is before its forerunner's, ${last}`, at >= last)
          last = at
        }
      }
      n += count
    }
  }
}

export const verbsChecks: Check[] = [
  { name: 'rc-messages', what: 'RC sends to itself', run: (bench) => messages(bench, 'RC') },
  { name: 'uc-messages', what: 'UC sends to itself', run: (bench) => messages(bench, 'UC') },
  { name: 'rc-transfers', what: 'RDMA writes and reads', run: transfers },
  { name: 'rc-atomics', what: 'fetch-and-add, compare-and-swap', run: atomics },
  { name: 'ud-datagrams', what: 'UD datagrams to itself', run: datagrams },
  { name: 'refusals', what: 'a write that is not allowed', run: refusals },
  { name: 'timestamps', what: 'completions with the device’s clock', run: timestamps },
]
