/**
 * No options object of the public API accepts an unknown name. The compiler lists the objects that the API takes and
 * their names, so this test finds a new object without a check, or with other names.
 */
import { Arena, type CompletionQueue, type Context, type MemoryRegion, open, type QueuePair } from 'ibverbs'
import {
  CaptureEncoder,
  FramePool,
  FrameReadable,
  gre,
  Pacer,
  PacketQueue,
  PcapEncoder,
  PcapngEncoder,
  resolve,
  setChannels,
  steer,
  vxlan,
} from 'ibverbs/ethernet'
import {
  createCompletionQueue,
  createIndirectionTable,
  createQueuePair,
  createRssQueuePair,
  createWorkQueue,
  decodeCompletion,
  decodeReceiveRequest,
  decodeSendRequest,
  type IndirectionTable,
  type RssQueuePair,
  type WorkQueue,
} from 'ibverbs/mlx5'
import { type SoftConnectX, softConnectX } from 'ibverbs/soft'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PublicApi } from './public-api.js'

let api: PublicApi
let soft: SoftConnectX
let context: Context
let memory: MemoryRegion
let pair: QueuePair
let datagram: QueuePair
let raw: QueuePair
let queue: PacketQueue
let workCq: CompletionQueue
let work: WorkQueue
let workTable: IndirectionTable
let rss: RssQueuePair

beforeAll(() => {
  api = new PublicApi()
  soft = softConnectX({ wire: 'pair' })
  context = open(soft.devices()[0].name)
  const domain = context.allocateProtectionDomain()
  const cq = context.createCompletionQueue(1000)
  memory = domain.registerMemory(4096)
  pair = domain.createQueuePair({ type: 'RC', cq })
  datagram = domain.createQueuePair({ type: 'UD', cq })
  raw = domain.createQueuePair({ type: 'RAW_PACKET', cq })
  workCq = createCompletionQueue(domain, 64)
  work = createWorkQueue(domain, { cq: workCq, maxWr: 8 })
  workTable = createIndirectionTable([work])
  rss = createRssQueuePair(domain, { table: workTable, fields: [] })
  queue = PacketQueue.open(`${soft.devices()[1].name}/1`)
}, 120_000)

afterAll(() => {
  queue?.close()
  context?.close()
  soft?.close()
})

/** Data: from a peer, another thread, a capture, or one of the library's own queries. Unknown names in it are ignored. */
const data = 'data'

type Call = (value: never) => unknown

const flowRule = (place: string, call: (rule: object) => unknown): Record<string, Call> => ({
  [place]: call,
  [`${place}.sourcePort`]: (sourcePort) => call({ protocol: 'udp', sourcePort }),
  [`${place}.destinationPort`]: (destinationPort) => call({ protocol: 'udp', destinationPort }),
  [`${place}.bytes[]`]: (bytes) => call({ bytes: [bytes] }),
})

const request = (
  place: string,
  call: (options: never) => unknown,
  remote?: () => object,
): Record<string, Call | typeof data> => ({
  [place]: call,
  [`${place}.elements[]`]: (element) => call({ elements: [element], remote: remote?.() } as never),
  ...(remote && { [`${place}.remote`]: data }),
})

const remote = () => memory.remote

const places: Record<string, Call | typeof data> = {
  'Arena.allocate(options)': (options) => Arena.allocate(1, options),
  'CompletionQueue.wait(options)': (options) => pair.sendCq.wait(options),
  'CompletionQueue.spin(options)': (options) => pair.sendCq.spin(0, options),
  'Context.createCompletionQueue(options)': (options) => context.createCompletionQueue(1, options),
  'Context.nextEvent(options)': (options) => context.nextEvent(options),
  'Context.events(options)': (options) => context.events(options).next(),
  'bestGid(table)[]': data,
  'ProtectionDomain.registerMemory(options)': (options) => pair.domain.registerMemory(64, options),
  'ProtectionDomain.createQueuePair(options)': (options) => pair.domain.createQueuePair(options),
  'ProtectionDomain.createAddressHandle(destination) as Endpoint': data,
  'ProtectionDomain.createAddressHandle(destination) as AddressVector': (vector) =>
    pair.domain.createAddressHandle(vector),
  'ProtectionDomain.createAddressHandle(destination) as ReceivedDatagram': (datagram: object) =>
    pair.domain.createAddressHandle({ cq: pair.sendCq, memory, ...datagram }),
  'QueuePair.modify(attributes)': (attributes) => pair.modify(attributes),
  'QueuePair.modify(attributes).addressVector': (addressVector) => pair.modify({ addressVector }),
  'QueuePair.connect(remote)': data,
  'QueuePair.connect(options)': (options) => pair.connect(pair.endpoint, options),
  'QueuePair.initialize(options)': (options) => pair.initialize(options),
  ...request('QueuePair.prepareSend(options)', (options) => pair.prepareSend(options)),
  ...request('QueuePair.prepareReceive(options)', (options) => pair.prepareReceive(options)),
  ...request('QueuePair.prepareWrite(options)', (options) => pair.prepareWrite(options), remote),
  ...request('QueuePair.prepareRead(options)', (options) => pair.prepareRead(options), remote),
  ...request(
    'QueuePair.prepareCompareAndSwap(options)',
    (options) => pair.prepareCompareAndSwap(options),
    remote,
  ),
  ...request('QueuePair.prepareFetchAndAdd(options)', (options) => pair.prepareFetchAndAdd(options), remote),
  ...flowRule('QueuePair.createFlow(rules)', (rule) => raw.createFlow(rule)),
  ...flowRule('QueuePair.createFlow(rules)[]', (rule) => raw.createFlow([rule])),
  'QueuePair.createFlow(options)': (options) => raw.createFlow({}, options),
  'PcapEncoder(options)': (options) => new PcapEncoder(options),
  'PcapngEncoder(options)': (options) => new PcapngEncoder(options),
  'PcapngEncoder(options).interfaces[]': (each) => new PcapngEncoder({ interfaces: [each] }),
  'CaptureEncoder(options)': (options) => new CaptureEncoder(options),
  'CaptureEncoder(options).interfaces[]': (each) => new CaptureEncoder({ interfaces: [each] }),
  'FrameEncoder.trailer(_statistics)[]': data,
  'PcapEncoder.trailer(_statistics)[]': data,
  'PcapngEncoder.trailer(statistics)[]': data,
  'CaptureEncoder._transform(frame)': data,
  'setChannels(counts)': (counts) => setChannels('lo', counts),
  'FramePool(options)': (options) => new FramePool(options),
  'FramePool.join(shared)': data,
  'Pacer.sleep(options)': (options) => Pacer.sleep(0, options),
  'PacketQueue.open(options)': (options) => PacketQueue.open('lo', options),
  'PacketQueue.open(options).fanout': (fanout) => PacketQueue.open('lo', { fanout }),
  ...flowRule('PacketQueue.open(options).flows[]', (rule) =>
    PacketQueue.open(queue.interface.name, { flows: [rule] }),
  ),
  ...flowRule('PacketQueue.open(options).steer[]', (rule) =>
    PacketQueue.open(queue.interface.name, { steer: [rule] }),
  ),
  'PacketQueue.drain(options)': (options) => queue.drain(options),
  'PacketQueue.wait(options)': (options) => queue.wait(options),
  'PacketQueue.spin(options)': (options) => queue.spin(0, options),
  'PacketQueue.batches(options)': (options) => queue.batches(options),
  'FrameReadable(options)': (options) => new FrameReadable(queue, options),
  'resolve(options)': (options) => resolve('127.0.0.1', options),
  ...flowRule('steer(rule)', (rule) => steer('lo', rule, 0)),
  'gre.outer(options)': (options) => gre.outer(options),
  'vxlan.outer(options)': (options) => vxlan.outer(options),
  'createCompletionQueue(options)': (options) => createCompletionQueue(pair.domain, 1, options),
  'createQueuePair(options)': (options) => createQueuePair(pair.domain, options),
  'createWorkQueue(options)': (options: object) =>
    createWorkQueue(pair.domain, { cq: workCq, ...options } as never),
  'createWorkQueue(options).striding': (striding) => createWorkQueue(pair.domain, { cq: workCq, striding }),
  'WorkQueue.modify(attributes)': (attributes) => work.modify(attributes),
  'createRssQueuePair(options)': (options: object) =>
    createRssQueuePair(pair.domain, { table: workTable, fields: [], ...options }),
  ...flowRule('RssQueuePair.createFlow(rules)', (rule) => rss.createFlow(rule)),
  ...flowRule('RssQueuePair.createFlow(rules)[]', (rule) => rss.createFlow([rule])),
  'RssQueuePair.createFlow(options)': (options) => rss.createFlow({}, options),
  'decodeSendRequest(options)': (options) => decodeSendRequest(new Uint8Array(16), options),
  'decodeReceiveRequest(options)': (options) => decodeReceiveRequest(new Uint8Array(16), options),
  'decodeCompletion(options)': (options) => decodeCompletion(new Uint8Array(64), options),
  'formatEntry(entry)': data,
  'formatEntry(entry).segments[]': data,
  'formatEntry(entry).segments[].fields[]': data,
  'formatEntry(entry).segments[].source': data,
  'softConnectX(options)': (options) => softConnectX(options),
  'softConnectX(options).link': (link) => softConnectX({ link }),
}

test('this test knows every object that the API takes', () => {
  expect([...api.taken.keys()].sort()).toEqual(Object.keys(places).sort())
})

test('every type that a declaration names can be imported', () => {
  expect([...api.hidden]).toEqual([])
})

test('every public symbol has a doc comment, and every option states its default', () => {
  const isData = (name: string) =>
    Object.keys(places).some((place) => places[place] === data && name.startsWith(`${place}.`))
  expect([...api.undocumented].filter((name) => !isData(name)).sort()).toEqual([])
})

const taking = Object.entries(places).filter((entry): entry is [string, Call] => entry[1] !== data)

describe('an unknown name', () => {
  test.each(taking)('%s', async (place, call) => {
    const names = api.taken.get(place)?.names as string[]
    for (const name of names) {
      const misspelt = `${name}${name.at(-1)}`
      const error = await thrown(() => call({ [misspelt]: 1 } as never))
      expect(error).toBeInstanceOf(TypeError)
      expect(error).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' })
      const [, path, nearest, known] =
        /^"(.*)" is not known: did you mean "(.*)"\? \(there are (.*)\)$/.exec(String(error?.message)) ?? []
      expect(path, error?.message).toMatch(new RegExp(`\\.${misspelt}$`))
      expect(nearest).toBe(name)
      expect(known?.split(', ').sort()).toEqual([...names].sort())
    }
  })

  test('counts as absent when its value is undefined or it comes from the prototype', () => {
    for (const options of [{ nosuch: undefined }, Object.create({ nosuch: 1 })]) {
      expect(Arena.allocate(1, options).byteLength).toBe(1)
      expect(pair.prepareSend({ elements: [{ memory, ...options }] })).toBeDefined()
    }
  })

  test('is ignored in data from a peer', () => {
    const more = { nosuch: 1 }
    datagram.connect()
    const handle = pair.domain.createAddressHandle({ ...datagram.endpoint, ...more } as never)
    expect(handle.vector.gid).toBe(datagram.endpoint.gid)
    expect(pair.prepareRead({ memory, remote: { ...memory.remote, ...more } as never })).toBeDefined()
    pair.connect({ ...pair.endpoint, ...more } as never)
    expect(pair.state).toBe('RTS')
  })
})

describe('the version of data from a peer', () => {
  const newer = '.version" must be 1 (a peer with a newer ibverbs sent it: update the package here), not 2'
  test.each<[string, (version: unknown) => unknown]>([
    ['remote', (version) => pair.connect({ ...pair.endpoint, version } as never)],
    ['destination', (version) => pair.domain.createAddressHandle({ ...pair.endpoint, version } as never)],
    ['options.remote', (version) => pair.prepareRead({ remote: { ...memory.remote, version } as never })],
  ])('%s', async (name, call) => {
    expect(await thrown(() => call(2))).toMatchObject({
      code: 'ERR_OUT_OF_RANGE',
      message: `"${name}${newer}`,
    })
    for (const version of [undefined, null, '1']) {
      expect(await thrown(() => call(version))).toMatchObject({
        code: 'ERR_INVALID_ARG_TYPE',
        message: expect.stringContaining(`"${name}.version" must be a number, not `),
      })
    }
  })
})

async function thrown(call: () => unknown): Promise<Error | undefined> {
  try {
    await call()
    return undefined
  } catch (error) {
    return error as Error
  }
}
