/** Arguments of everything but prepared requests (request-arguments.test.ts). */
import { libibverbsPath, open } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import type { Side } from '../beds/rxe.js'
import { count, type Names, objects, type Parameter, refusesGarbage, u32, type World } from './garbage.js'

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

refusesGarbage(parameters)

describe('libibverbsPath', () => {
  it('takes nothing and is a string here', () => {
    expect(typeof libibverbsPath()).toBe('string')
  })
})
