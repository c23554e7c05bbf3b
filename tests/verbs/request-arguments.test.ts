/** Arguments of prepared requests. */
import { count, type Names, objects, type Parameter, refusesGarbage, u32, type World } from './garbage.js'

const remote = (world: World, change: object) => ({ ...world.side.memory.remote, ...change })
const flag = (name: string): Parameter => ({
  name: `options.${name}`,
  fine: ['undefined', 'null', 'true'],
  call: ({ side }, value) => side.pair.prepareSend({ memory: side.memory, [name]: value }),
})
const post = (name: string, fine: Names, call: Parameter['call']): Parameter => ({ name, fine, call })

const aimed = ({ ud, addressHandle }: World) =>
  ud.pair.prepareSend({ addressHandle, remoteQueuePair: 1, remoteQueueKey: 1 })

const parameters: Record<string, Parameter[]> = {
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

function transfer(world: World) {
  return world.side.pair.prepareWrite({ memory: world.side.memory, remote: remote(world, {}) })
}

function atomic(world: World) {
  return world.side.pair.prepareCompareAndSwap({ memory: world.side.memory, remote: remote(world, {}) })
}

refusesGarbage(parameters)
