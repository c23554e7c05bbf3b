/** Raw frames/s: TX, RX, forward; 64 and 1500 B; batches of 1, 32, 64; AF_PACKET, AF_XDP, against C and testpmd */
import type { Bench, Session } from '../harness/bench.js'
import { peerOf, title, usableBackends } from '../harness/ethernet/backends.js'
import { cPeer, type FrameParameters, frameSide, ours } from '../harness/ethernet/sides.js'
import { testpmdSide } from '../harness/ethernet/testpmd.js'
import { installedTestpmd } from '../harness/ethernet/testpmd-process.js'

const operations = ['tx', 'rx', 'forward'] as const
type Operation = (typeof operations)[number]

/** The ring with which a C program forwards fastest: it sends received frames from where they lie in the ring. */
function fastestRing(operation: Operation, batch: number): FrameParameters['ring'] {
  return operation === 'forward' && batch === 1 ? 'v3' : 'v2'
}

/** About 20 ms for each round. */
function frames(operation: Operation, batch: number): { count: number; warmup: number } {
  // The warm-up first drains the frames that arrived since the last round: up to some 5000.
  const warmup = operation === 'tx' ? 1000 : 5000
  return { count: batch === 1 ? 10_000 : 16_000, warmup }
}

const bench: Bench = {
  bed: 'veth',
  peers: Object.values(peerOf),
  async run(session) {
    const testpmd = installedTestpmd()
    if (!testpmd) session.note('skipped: testpmd is not installed (Debian: dpdk-dev)')
    for (const backend of usableBackends(session)) {
      for (const operation of operations) {
        for (const size of [64, 1500]) {
          for (const batch of [1, 32, 64]) {
            const ring = fastestRing(operation, batch)
            await measure(session, title[backend], operation, { backend, size, batch, ring }, testpmd)
          }
        }
      }
      if (backend !== 'af_packet') continue
      for (const batch of [1, 32, 64]) {
        const parameters: FrameParameters = {
          ...{ backend, size: 64, batch, ring: 'none', queue: { receivePath: 'recvmmsg' } },
        }
        await measure(session, 'AF_PACKET by recvmmsg', 'rx', parameters, undefined)
      }
    }
  },
}

async function measure(
  session: Session,
  title: string,
  operation: Operation,
  parameters: FrameParameters,
  testpmd: string | undefined,
): Promise<void> {
  const { size, batch } = parameters
  const request = { operation, ...frames(operation, batch) }
  const metrics = [{ case: `${title} ${operation} ${size} B, batches of ${batch}`, unit: 'frames/s' }]
  await session.compare({
    ...{ peer: 'c', metrics, roundsPerOpening: 4 },
    ours: () => frameSide(session, ours, parameters, request),
    theirs: () => frameSide(session, cPeer(session), parameters, request),
  })
  // testpmd takes a second to start: it runs with long frames only on request (--case '1500 B').
  const asked = size === 64 || session.options.only?.includes('1500 B')
  if (!testpmd || batch !== 32 || !asked) return
  await session.compare({
    ...{ peer: 'testpmd', metrics, roundsPerOpening: 5 },
    ours: () => frameSide(session, ours, parameters, request),
    theirs: () => testpmdSide(session, testpmd, parameters, operation),
  })
}

export default bench
