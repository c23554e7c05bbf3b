import { spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import type { Session } from '../bench.js'
import type { Side } from '../compare.js'
import { cPeer, type FrameParameters, type Operation, processors } from './sides.js'
import { Testpmd } from './testpmd-process.js'
import { giveWire, receivedBy, takeWire } from './wires.js'

const milliseconds = 40
const modes: Record<string, string> = { tx: 'txonly', rx: 'rxonly', forward: 'io' }

/**
 * testpmd with net_af_packet or net_af_xdp, in the setup of frameSide: it forwards on the contender's processor; the sender
 * and testpmd's command line run on the other. It runs for a while; the interface (tx, forward) or testpmd itself (rx)
 * counts the frames.
 */
export async function testpmdSide(
  session: Session,
  command: string,
  parameters: FrameParameters,
  operation: Operation,
): Promise<Side> {
  const { backend, size, batch } = parameters
  const [cpu, otherCpu] = processors()
  const wires = [takeWire(), takeWire()]
  const [incoming, outgoing] = wires
  const ports =
    operation === 'tx' ? [outgoing.a] : operation === 'rx' ? [incoming.b] : [incoming.b, outgoing.a]
  const closers: (() => Promise<void>)[] = []
  const close = async () => {
    for (const closer of closers.reverse()) await closer()
    for (const wire of wires) giveWire(wire)
  }
  try {
    const testpmd = await Testpmd.start({
      spawn,
      command,
      cores: ['--lcores', `1@${otherCpu},0@${cpu}`, '--main-lcore', '1'],
      driver: backend === 'af_xdp' ? 'net_af_xdp' : 'net_af_packet',
      interfaces: ports,
      mode: modes[operation],
      words: [`--burst=${batch}`, '--txpkts', String(size)],
    })
    closers.push(() => testpmd[Symbol.asyncDispose]())
    const target = { out: incoming.a, to: incoming.macB }
    const sender =
      operation === 'tx'
        ? undefined
        : await cPeer(session)({ backend: 'af_xdp', size, batch: 64 }, target, otherCpu)
    if (sender) closers.push(() => sender.close())
    const counted = async () => {
      if (operation !== 'rx') return receivedBy(outgoing.b)
      return (await testpmd.statistics(0)).received
    }
    return {
      async run() {
        await testpmd.command('start')
        sender?.send('flood 0 0')
        await delay(milliseconds / 2)
        const before = await counted()
        const begin = performance.now()
        let after = before
        let end = begin
        // One look, unless another process has its processor.
        for (let looks = 0; after === before && looks < 50; looks++) {
          await delay(milliseconds)
          after = await counted()
          end = performance.now()
        }
        await sender?.request('stop')
        await testpmd.command('stop')
        return [((after - before) * 1000) / (end - begin)]
      },
      close,
    }
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
}
