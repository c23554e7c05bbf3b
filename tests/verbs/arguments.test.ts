/** Garbage for every argument of every public function: an error that names the argument, and never a crash. */
import {
  AddressHandle,
  type CompletionQueue,
  type Context,
  libibverbsPath,
  MemoryRegion,
  open,
  type ProtectionDomain,
  type QueuePair,
} from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { type Side, thrownBy, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

interface World {
  side: Side
  ud: Side
  other: Side
  addressHandle: AddressHandle
}

/** Values that no argument accepts, and values that some accept. */
function garbage(world: World): [string, unknown][] {
  const { side, ud } = world
  return [
    ['undefined', undefined],
    ['null', null],
    ['true', true],
    ['""', ''],
    ['"5"', '5'],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
    ['-1', -1],
    ['1.5', 1.5],
    ['2 ** 31', 2 ** 31],
    ['2 ** 32', 2 ** 32],
    ['2 ** 53', 2 ** 53],
    ['1e300', 1e300],
    ['1n', 1n],
    ['-1n', -1n],
    ['Symbol()', Symbol('garbage')],
    ['{}', {}],
    ['[]', []],
    ['[1]', [1]],
    ['a function', () => 1],
    ['{ valueOf }', { valueOf: () => 1 }],
    ['new Number', Object(1)],
    ['a Proxy', new Proxy({}, {})],
    ['an object without a prototype', Object.create(null)],
    ['an ArrayBuffer', new ArrayBuffer(8)],
    ['a Uint8Array over an ArrayBuffer', new Uint8Array(8)],
    ['a DataView', new DataView(new SharedArrayBuffer(8))],
    ['a Context', side.context],
    ['a ProtectionDomain', side.domain],
    ['a CompletionQueue', side.cq],
    ['a MemoryRegion', side.memory],
    ['a QueuePair', ud.pair],
    ['an AddressHandle', world.addressHandle],
    ['what only looks like a MemoryRegion', Object.create(MemoryRegion.prototype)],
    ['what only looks like an AddressHandle', Object.create(AddressHandle.prototype)],
  ]
}

type Names = string[]

interface Parameter {
  /** The name that the error must contain. */
  name: string
  /** Labels of the garbage above that the argument accepts. */
  fine?: Names
  call: (world: World, value: never) => unknown
}

const count: Names = ['2 ** 31', '2 ** 32'] // in the range of a u32 or more
const u32: Names = ['2 ** 31']

const remote = (world: World, change: object) => ({ ...world.side.memory.remote, ...change })
const endpoint = (world: World, change: object) => ({ ...world.side.pair.endpoint, ...change })
const queuePair = (world: World, options: object) =>
  world.side.domain
    .createQueuePair({
      type: 'RC',
      cq: world.side.cq,
      maxSendWr: 1,
      maxReceiveWr: 1,
      ...options,
    })
    .close()
const queuePairOption = (name: string, fine: Names = []): Parameter => ({
  name: `options.${name}`,
  fine: ['undefined', 'null', ...fine],
  call: (world, value) => queuePair(world, { [name]: value }),
})
const flag = (name: string): Parameter => ({
  name: `options.${name}`,
  fine: ['undefined', 'null', 'true'],
  call: ({ side }, value) => side.pair.prepareSend({ memory: side.memory, [name]: value }),
})
const vectorField = (name: string, fine: Names = []): Parameter => ({
  name: `destination.${name}`,
  fine: ['undefined', 'null', ...fine],
  call: ({ side }, value) => side.domain.createAddressHandle({ gid: 'fe80::1', [name]: value }).close(),
})
const attribute = (name: string, fine: Names = []): Parameter => ({
  name: `attributes.${name}`,
  fine: ['undefined', ...fine],
  // The attribute is not legal in this state, so that a value that passes the check changes nothing.
  call: ({ side }, value) => {
    try {
      side.pair.modify({ state: 'RESET', [name]: value })
    } catch (error) {
      if (!String(error).includes('RESET → RESET of an RC queue pair does not take')) throw error
    }
  },
})
const connectOption = (name: string): Parameter => ({
  name: `options.${name}`,
  fine: name === 'access' ? ['undefined', '[]'] : ['undefined'],
  call: ({ side }, value) => side.pair.connect(side.pair.endpoint, { [name]: value }),
})
const post = (name: string, fine: Names, call: Parameter['call']): Parameter => ({ name, fine, call })

const aimed = ({ ud, addressHandle }: World) =>
  ud.pair.prepareSend({ addressHandle, remoteQueuePair: 1, remoteQueueKey: 1 })

const parameters: Record<string, Parameter[]> = {
  open: [{ name: 'name', fine: ['undefined', '""', '"5"'], call: (_, value) => open(value).close() }],
  'Context.queryPort': [
    { name: 'port', fine: ['undefined'], call: ({ side }, value) => side.context.queryPort(value) },
  ],
  'Context.queryPkey': [
    { name: 'port', call: ({ side }, value) => side.context.queryPkey(value, 0) },
    { name: 'index', call: ({ side }, value) => side.context.queryPkey(1, value) },
  ],
  'Context.createCompletionQueue': [
    { name: 'entries', call: ({ side }, value) => side.context.createCompletionQueue(value) },
    {
      name: 'options',
      fine: objects('undefined'),
      call: ({ side }, value) => side.context.createCompletionQueue(1, value).close(),
    },
    {
      name: 'options.batch',
      fine: ['undefined'],
      call: ({ side }, value) => side.context.createCompletionQueue(1, { batch: value }).close(),
    },
  ],
  'Context.nextEvent': [
    waitOptions((world, value) => world.side.context.nextEvent(value)),
    {
      name: 'options.signal',
      fine: ['undefined'],
      call: ({ side }, signal) => side.context.nextEvent({ signal }),
    },
  ],
  'Context.events': [
    {
      name: 'options.signal',
      fine: ['undefined'],
      call: ({ side }, signal) => side.context.events({ signal }).next(),
    },
  ],
  'ProtectionDomain.registerMemory': [
    {
      name: 'memory',
      fine: count,
      call: registerMemory,
    },
    {
      name: 'options',
      fine: objects('undefined'),
      call: ({ side }, value) => side.domain.registerMemory(1, value).close(),
    },
    {
      name: 'options.access',
      fine: ['undefined', 'null', '[]'],
      call: ({ side }, access) => side.domain.registerMemory(1, { access }).close(),
    },
    {
      name: 'options.hugePages',
      fine: ['undefined', 'true'],
      call: ({ side }, hugePages) => side.domain.registerMemory(1, { hugePages }).close(),
    },
  ],
  'ProtectionDomain.createAddressHandle': [
    {
      name: 'destination',
      fine: [],
      call: ({ side }, value) => side.domain.createAddressHandle(value),
    },
    { ...vectorField('gid'), fine: [] },
    vectorField('lid'),
    vectorField('port'),
    vectorField('hopLimit'),
    vectorField('trafficClass'),
    vectorField('flowLabel'),
    vectorField('serviceLevel'),
    { ...vectorField('gidIndex'), fine: ['undefined'] },
  ],
  'ProtectionDomain.createQueuePair': [
    { name: 'options', fine: [], call: ({ side }, value) => side.domain.createQueuePair(value) },
    { name: 'options.type', call: (world, type) => queuePair(world, { type }) },
    { name: 'options.cq', fine: ['a CompletionQueue'], call: (world, cq) => queuePair(world, { cq }) },
    queuePairOption('sendCq', ['a CompletionQueue']),
    queuePairOption('receiveCq', ['a CompletionQueue']),
    queuePairOption('maxSendWr'),
    queuePairOption('maxReceiveWr'),
    queuePairOption('maxSendSge'),
    queuePairOption('maxReceiveSge'),
    queuePairOption('maxInline'),
    queuePairOption('port'),
    { ...queuePairOption('gidIndex'), fine: ['undefined'] },
    queuePairOption('queueKey', u32),
    queuePairOption('packetSequenceNumber'),
  ],
  'CompletionQueue.wait': [
    waitOptions((world, value) => world.side.cq.wait(value)),
    { name: 'options.signal', fine: ['undefined'], call: ({ side }, signal) => side.cq.wait({ signal }) },
  ],
  'CompletionQueue.spin': [
    { name: 'microseconds', fine: u32, call: ({ side }, value) => side.cq.spin(value) },
    waitOptions((world, value) => world.side.cq.spin(0, value)),
    { name: 'options.signal', fine: ['undefined'], call: ({ side }, signal) => side.cq.spin(0, { signal }) },
  ],
  'CompletionQueue.statusName and opcodeName': [
    { name: 'i', call: ({ side }, i) => side.cq.statusName(i) },
    { name: 'i', call: ({ side }, i) => side.cq.opcodeName(i) },
  ],
  'QueuePair.modify': [
    { name: 'attributes', fine: objects(), call: ({ side }, value) => modifyWith(side, value) },
    attribute('state'),
    attribute('currentState'),
    attribute('access', ['[]']),
    attribute('pkeyIndex'),
    attribute('port'),
    attribute('qkey', u32),
    attribute('pathMtu'),
    attribute('timeout'),
    attribute('retryCount'),
    attribute('rnrRetry'),
    attribute('rqPsn'),
    attribute('sqPsn'),
    attribute('maxRdAtomic'),
    attribute('maxDestRdAtomic'),
    attribute('minRnrTimer'),
    attribute('destQpNum'),
    attribute('addressVector', []),
    {
      name: 'attributes.addressVector.gid',
      call: ({ side }, gid) => side.pair.modify({ addressVector: { gid } }),
    },
  ],
  'QueuePair.connect': [
    { name: 'remote', call: ({ side }, value) => side.pair.connect(value) },
    { name: 'remote.type', call: (world, type) => world.side.pair.connect(endpoint(world, { type })) },
    {
      name: 'remote.queuePairNumber',
      call: (world, value) => world.side.pair.connect(endpoint(world, { queuePairNumber: value })),
    },
    {
      name: 'remote.packetSequenceNumber',
      call: (world, value) => world.side.pair.connect(endpoint(world, { packetSequenceNumber: value })),
    },
    { name: 'remote.gid', call: (world, gid) => world.side.pair.connect(endpoint(world, { gid })) },
    { name: 'remote.lid', call: (world, lid) => world.side.pair.connect(endpoint(world, { lid })) },
    { name: 'remote.mtu', call: (world, mtu) => world.side.pair.connect(endpoint(world, { mtu })) },
    ...['access', 'pathMtu', 'timeout', 'retryCount', 'rnrRetry', 'minRnrTimer', 'maxRdAtomic'].map(
      connectOption,
    ),
    ...['maxDestRdAtomic', 'pkeyIndex', 'serviceLevel', 'trafficClass', 'flowLabel', 'hopLimit'].map(
      connectOption,
    ),
  ],
  'QueuePair.prepareSend and prepareReceive': [
    { name: 'options', fine: objects(), call: ({ side }, value) => side.pair.prepareSend(value) },
    { name: 'options', fine: objects(), call: ({ side }, value) => side.pair.prepareReceive(value) },
    {
      name: 'options.memory',
      fine: ['undefined', 'a MemoryRegion'],
      call: ({ side }, memory) => side.pair.prepareSend({ memory }),
    },
    {
      name: 'options.memory',
      fine: ['undefined', 'a MemoryRegion'],
      call: ({ side }, memory) => side.pair.prepareReceive({ memory }),
    },
    {
      name: 'options.elements',
      fine: ['undefined', 'null', '[]'],
      call: ({ side }, elements) => side.pair.prepareSend({ elements }),
    },
    {
      name: 'options.elements[0]',
      fine: [],
      call: ({ side }, element) => side.pair.prepareSend({ elements: [element] }),
    },
    {
      name: 'options.elements[0].memory',
      fine: ['a MemoryRegion'],
      call: ({ side }, memory) => side.pair.prepareSend({ elements: [{ memory }] }),
    },
    {
      name: 'options.elements[0].offset',
      fine: ['undefined', 'null'],
      call: ({ side }, offset) => side.pair.prepareSend({ elements: [{ memory: side.memory, offset }] }),
    },
    {
      name: 'options.elements[0].length',
      fine: ['undefined', 'null'],
      call: ({ side }, length) => side.pair.prepareSend({ elements: [{ memory: side.memory, length }] }),
    },
    flag('signaled'),
    flag('fence'),
    flag('solicited'),
    flag('inline'),
    {
      name: 'options.immediate',
      fine: ['undefined', ...u32],
      call: ({ side }, immediate) => side.pair.prepareSend({ memory: side.memory, immediate }),
    },
    {
      name: 'immediate',
      fine: u32,
      call: ({ side }, immediate) => {
        side.pair.prepareSend({ memory: side.memory, immediate: 1 }).immediate = immediate
      },
    },
  ],
  'UD: QueuePair.prepareSend': [
    {
      name: 'options.addressHandle',
      fine: ['an AddressHandle'],
      call: ({ ud }, addressHandle) =>
        ud.pair.prepareSend({ addressHandle, remoteQueuePair: 1, remoteQueueKey: 1 }),
    },
    {
      name: 'options.remoteQueuePair',
      call: ({ ud, addressHandle }, remoteQueuePair) =>
        ud.pair.prepareSend({ addressHandle, remoteQueuePair, remoteQueueKey: 1 }),
    },
    {
      name: 'options.remoteQueueKey',
      fine: u32,
      call: ({ ud, addressHandle }, remoteQueueKey) =>
        ud.pair.prepareSend({ addressHandle, remoteQueuePair: 1, remoteQueueKey }),
    },
  ],
  'PreparedSend.to': [
    {
      name: 'addressHandle',
      fine: ['an AddressHandle'],
      call: (world, addressHandle) => aimed(world).to(addressHandle, 1, 1),
    },
    {
      name: 'remoteQueuePair',
      call: (world, remoteQueuePair) => aimed(world).to(world.addressHandle, remoteQueuePair, 1),
    },
    {
      name: 'remoteQueueKey',
      fine: u32,
      call: (world, remoteQueueKey) => aimed(world).to(world.addressHandle, 1, remoteQueueKey),
    },
  ],
  'QueuePair.prepareWrite and prepareRead': [
    {
      name: 'options',
      fine: ['what only looks like a MemoryRegion'], // its own getters throw
      call: ({ side }, value) => side.pair.prepareWrite(value),
    },
    {
      name: 'options.remote',
      fine: ['what only looks like a MemoryRegion'], // its own getters throw

      call: ({ side }, value) => side.pair.prepareRead({ memory: side.memory, remote: value }),
    },
    {
      name: 'options.remote.address',
      call: (world, address) => world.side.pair.prepareWrite({ remote: remote(world, { address }) }),
    },
    {
      name: 'options.remote.rkey',
      fine: u32,
      call: (world, rkey) => world.side.pair.prepareWrite({ remote: remote(world, { rkey }) }),
    },
    {
      name: 'options.remote.length',
      fine: count,
      call: (world, length) => world.side.pair.prepareRead({ remote: remote(world, { length }) }),
    },
    {
      name: 'options.immediate',
      fine: ['undefined'],
      call: (world, immediate) => world.side.pair.prepareRead({ remote: remote(world, {}), immediate }),
    },
  ],
  'PreparedSend.post': [
    post('cookie', u32, ({ side }, value) => side.pair.prepareSend({ memory: side.memory }).post(value)),
    post('offset', ['undefined'], ({ side }, value) =>
      side.pair.prepareSend({ memory: side.memory }).post(1, value),
    ),
    post('length', ['undefined'], ({ side }, value) =>
      side.pair.prepareSend({ memory: side.memory }).post(1, 0, value),
    ),
  ],
  'PreparedReceive.post': [
    post('cookie', u32, ({ side }, value) => side.pair.prepareReceive({ memory: side.memory }).post(value)),
    post('offset', ['undefined'], ({ side }, value) =>
      side.pair.prepareReceive({ memory: side.memory }).post(1, value),
    ),
    post('length', ['undefined'], ({ side }, value) =>
      side.pair.prepareReceive({ memory: side.memory }).post(1, 0, value),
    ),
  ],
  'PreparedTransfer.post': [
    post('cookie', u32, (world, value) => transfer(world).post(value, 0, 1)),
    post('offset', ['undefined'], (world, value) => transfer(world).post(1, value, 1)),
    post('length', ['undefined'], (world, value) => transfer(world).post(1, 0, value)),
    post('remoteOffset', ['undefined'], (world, value) => transfer(world).post(1, 0, 1, value)),
  ],
  'PreparedAtomic.post': [
    post('cookie', u32, (world, value) => atomic(world).post(value, 0, 0, 1, 1)),
    post('offset', [], (world, value) => atomic(world).post(1, value, 0, 1, 1)),
    post('remoteOffset', [], (world, value) => atomic(world).post(1, 0, value, 1, 1)),
    post('low', u32, (world, value) => atomic(world).post(1, 0, 0, value, 1)),
    post('high', u32, (world, value) => atomic(world).post(1, 0, 0, 1, value)),
    post('swapLow', ['undefined', ...u32], (world, value) => atomic(world).post(1, 0, 0, 1, 1, value)),
    post('swapHigh', ['undefined', ...u32], (world, value) => atomic(world).post(1, 0, 0, 1, 1, 0, value)),
  ],
}

/** Labels of every object without properties of its own: it cannot be told from options. */
function objects(...more: Names): Names {
  return [
    '{}',
    '[]',
    'new Number',
    'a Proxy',
    'an object without a prototype',
    'an ArrayBuffer',
    'a DataView',
    'what only looks like a MemoryRegion',
    'what only looks like an AddressHandle',
    ...more,
  ]
}

function waitOptions(call: Parameter['call']): Parameter {
  return { name: 'options', fine: objects('undefined'), call }
}

function registerMemory({ side }: World, value: never): void {
  side.domain.registerMemory(value).close()
}

function modifyWith(side: Side, value: never): void {
  side.pair.modify(value)
}

function transfer(world: World) {
  return world.side.pair.prepareWrite({ memory: world.side.memory, remote: remote(world, {}) })
}

function atomic(world: World) {
  return world.side.pair.prepareCompareAndSwap({ memory: world.side.memory, remote: remote(world, {}) })
}

function makeWorld(): World {
  const side = rxe.side('RC', 0, { entries: 1000, maxSendWr: 400, maxReceiveWr: 400 })
  const ud = rxe.side('UD', 1)
  const other = rxe.side('RC', 1)
  return { side, ud, other, addressHandle: ud.domain.createAddressHandle(ud.pair.endpoint) }
}

/** Codes of errors about arguments; a VerbsError counts too where the argument's value is the reason. */
const codes = ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE']

describe('garbage is refused by name', () => {
  it.each(Object.entries(parameters))('%s', async (_, list) => {
    const world = makeWorld()
    for (const { name, fine = [], call } of list) {
      for (const [label, value] of garbage(world)) {
        if (fine.includes(label)) continue
        const result: Partial<NodeJS.ErrnoException> = await (async () => call(world, value as never))().then(
          () => ({ message: 'nothing was thrown' }),
          (error) => error,
        )
        const seen = {
          parameter: name,
          value: label,
          message: result.message,
          named: result.message?.startsWith(`"${name}`),
          code: codes.includes(result.code ?? ''),
          type: result instanceof (result.code === 'ERR_OUT_OF_RANGE' ? RangeError : TypeError),
        }
        expect(seen).toMatchObject({ named: true, code: true, type: true })
      }
    }
  })
})

describe('handles of another domain or context', () => {
  const own = "must be a region of the queue pair's own protection domain"
  const cases: [string, RegExp, (world: World) => unknown][] = [
    [
      'a region of another context',
      new RegExp(`^"options.memory" ${own}`),
      ({ side, other }) => side.pair.prepareSend({ memory: other.memory }),
    ],
    [
      'a completion queue of another context',
      /^"options.cq" must be of the domain's own context/,
      ({ side, other }) => side.domain.createQueuePair({ type: 'RC', cq: other.cq }),
    ],
    [
      'a receive queue of another context',
      /^"options.receiveCq" must be of the domain's own context/,
      ({ side, other }) => side.domain.createQueuePair({ type: 'RC', sendCq: side.cq, receiveCq: other.cq }),
    ],
  ]
  it.each(cases)('%s', (_, message, call) => {
    const world = makeWorld()
    expect(() => call(world)).toThrow(message)
    expect(() => call(world)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }))
  })

  it('a region of another domain, as the second element', () => {
    const { domain, cq, pair, memory } = rxe.side('RC', 0, { entries: 1000, maxSendSge: 2 })
    const foreign = domain.context.allocateProtectionDomain().registerMemory(1)
    expect(pair.capabilities.maxSendSge).toBeGreaterThanOrEqual(2)
    expect(() => pair.prepareSend({ elements: [{ memory }, { memory: foreign }] })).toThrow(
      /^"options.elements\[1\].memory" must be a region of the queue pair's own protection domain/,
    )
    expect(cq.closed).toBe(false)
  })

  it('more elements than the queue pair takes', () => {
    const { pair, memory } = rxe.side('RC', 0, { maxSendSge: 2, maxReceiveSge: 1 })
    const elements = [{ memory }, { memory }, { memory }]
    expect(() => pair.prepareSend({ elements })).toThrow(
      /^"options.elements.length" must be an integer from 0 to 2, not 3$/,
    )
    expect(() => pair.prepareReceive({ elements: elements.slice(1) })).toThrow(/from 0 to 1, not 2$/)
  })

  it('memory and elements at once', () => {
    const { pair, memory } = rxe.side('RC')
    expect(() => pair.prepareSend({ memory, elements: [] })).toThrow(
      /^"options.elements" must be left out where there is a memory/,
    )
  })

  it('options that do not apply to the queue pair’s type', () => {
    const { pair, domain, cq } = rxe.side('UC')
    const datagram = rxe.side('UD').pair
    for (const [call, message] of [
      [
        () => pair.connect(pair.endpoint, { timeout: 14 }),
        '"options.timeout" must be left out: a queue pair of type UC has none, only RC, not 14',
      ],
      [
        () => datagram.connect(undefined, { pathMtu: 1024 }),
        '"options.pathMtu" must be left out: a queue pair of type UD has none, only RC and UC, not 1024',
      ],
      [
        () => datagram.initialize({ access: [] }),
        '"options.access" must be left out: a queue pair of type UD has none, only RC and UC, not []',
      ],
      [
        () => domain.createQueuePair({ type: 'RC', cq, queueKey: 5 }),
        '"options.queueKey" must be left out: a queue pair of type RC has none, only UD, not 5',
      ],
    ] as const) {
      const error = thrownBy(call)
      expect([error.name, error.message]).toEqual(['TypeError', message])
    }
    expect([pair.state, datagram.state]).toEqual(['RESET', 'RESET'])
  })

  it('stretches that leave the region', () => {
    const { pair, memory } = rxe.side('RC', 0, { size: 1000 })
    const send = pair.prepareSend({ memory })
    for (const [offset, length, message] of [
      [1001, 0, '"offset" must be an integer from 0 to 1000, not 1001'],
      [1000, 1, '"length" must be an integer from 0 to 0, not 1'],
      [1, 1000, '"length" must be an integer from 0 to 999, not 1000'],
      [0, 2 ** 32, '"length" must be an integer from 0 to 1000, not 4294967296'],
    ] as const) {
      expect(() => send.post(1, offset, length)).toThrow(message)
    }
    const write = pair.prepareWrite({ memory, remote: { ...memory.remote, length: 500 } })
    expect(() => write.post(1, 0, 501)).toThrow(
      '"remoteOffset" must be such that 501 bytes lie in the 500 of the peer, not 0',
    )
    expect(() => write.post(1, 0, 500, 1)).toThrow(
      '"remoteOffset" must be such that 500 bytes lie in the 500 of the peer, not 1',
    )
    expect(pair.sendFree).toBe(64)
    expect(write.post(1, 500, 500, 0)).toBe(0)
  })

  it('classes that users do not construct', () => {
    const { context, domain, cq, pair, memory, addressHandle } = {
      ...makeWorld().side,
      addressHandle: makeWorld().addressHandle,
    }
    for (const handle of [context, domain, cq, pair, memory, addressHandle] as (
      | Context
      | ProtectionDomain
      | CompletionQueue
      | QueuePair
    )[]) {
      const type = Object.getPrototypeOf(handle)
      // Methods on a foreign object meet the private fields that it lacks.
      const fake = Object.create(type)
      expect(() => fake.close()).toThrow(TypeError)
      expect(() => fake.closed).toThrow(TypeError)
    }
  })
})

describe('libibverbsPath', () => {
  it('takes nothing and is a string here', () => {
    expect(typeof libibverbsPath()).toBe('string')
  })
})
