import { typeError } from '../../argument.js'
import { idOf } from '../../handle.js'
import { Kind, native } from '../../native.js'
import type { Endpoint } from '../address/endpoint.js'
import { CompletionQueue } from '../completion-queue.js'
import { QueuePairTypes } from '../constants.js'
import type { DeviceQueries } from '../device-queries.js'
import { orLargest } from '../largest.js'
import { RequestRings } from '../request/rings.js'
import type { QueuePairCapabilities } from './capabilities.js'
import type { CreatedQueuePair } from './created.js'
import { checkQueuePairOptions, type QueuePairOptions } from './options.js'
import type { QueuePairRingPlace } from './ring-place.js'

/** The sizes of a request first: a queue holds fewer requests the longer they may be. */
const sizeOrder = [
  ['maxInline', 0],
  ['maxSendSge', 1],
  ['maxReceiveSge', 1],
  ['maxReceiveWr', 1],
  ['maxSendWr', 1],
] as const

/** ibv_create_qp(3), with defaults for the options left out. @internal */
export function createQueuePair(
  device: DeviceQueries,
  domainHandle: number,
  options: QueuePairOptions,
  place?: QueuePairRingPlace,
): CreatedQueuePair {
  const checked = checkQueuePairOptions(device, options)
  const { type, sizes, sendCq, receiveCq, port, gid, longest } = checked
  assertOneDriver(options, checked, place?.drive !== undefined)
  const rings = new RequestRings(sizes)
  const { control, send, receive } = rings
  const over = (tried: QueuePairCapabilities, memory?: Uint8Array<SharedArrayBuffer>) =>
    native.verbs.createQueuePair(
      domainHandle,
      idOf('options.sendCq', sendCq, CompletionQueue),
      idOf('options.receiveCq', receiveCq, CompletionQueue),
      {
        type: QueuePairTypes[type],
        ...tried,
        longestMessage: longest.send,
        longestReceive: longest.receive,
      },
      { control, send: send.words, receive: receive.words },
      memory,
      place?.card,
    )
  const make = (tried: QueuePairCapabilities) =>
    place ? place.rings((memory) => over(tried, memory)) : over(tried)
  const { handle, number, ...capabilities } = orLargest(
    sizes,
    sizeOrder,
    make,
    Kind.QueuePair,
    'ibv_create_qp',
  )
  const endpoint: Endpoint = {
    version: 1,
    type,
    queuePairNumber: number,
    packetSequenceNumber: checked.packetSequenceNumber,
    gid: gid?.gid ?? '::',
    lid: checked.lid,
    mtu: checked.mtu,
  }
  if (type === 'UD') endpoint.queueKey = checked.queueKey
  return {
    handle,
    type,
    sizes,
    capabilities,
    rings,
    sendCq,
    receiveCq,
    endpoint,
    port,
    gidIndex: gid?.index ?? 0,
    longestMessage: longest.send,
    longestReceive: longest.receive,
  }
}

/** Who drives a queue pair's rings reads its completions too: nobody else knows its requests. */
function assertOneDriver(
  options: QueuePairOptions,
  { sendCq, receiveCq }: { sendCq: CompletionQueue; receiveCq: CompletionQueue },
  driven: boolean,
): void {
  const queues = { sendCq, receiveCq }
  for (const half of ['sendCq', 'receiveCq'] as const) {
    if (queues[half].driven === driven) continue
    const name = options[half] === undefined ? 'options.cq' : `options.${half}`
    const wanted = driven
      ? "a completion queue that ibverbs/mlx5's createCompletionQueue created with the same driver"
      : "a completion queue of libibverbs: its driver is ibverbs/mlx5's, which only queue pairs with that driver can use"
    throw typeError(name, wanted, queues[half])
  }
}
