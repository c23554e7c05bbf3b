/** A link without a carrier: the errors, the counters, and the recovery. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PacketQueue, PcapEncoder, queryInterface } from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ip, tc, type VethPair, vethPair } from '../beds/veth.js'
import { ibverbs } from '../cli/run.js'
import { backends, collect, frame, on, queueFrame } from './traffic.js'

const cut = (name: string) => ({
  name: 'VerbsError',
  code: 'ENETDOWN',
  message: expect.stringContaining(`interface "${name}" has no carrier: nothing is at the other end`),
})

/** The kernel processes a lost carrier in the background: from then on it accepts frames and drops them. */
function awaitNotice(name: string): void {
  const deadline = Date.now() + 10_000
  while (!/ LOWERLAYERDOWN /.test(ip('-br', 'link', 'show', 'dev', name))) {
    if (Date.now() > deadline) throw new Error(`${name} still has a carrier`)
  }
}

/** Two turns of the event loop: all earlier events are delivered. */
async function turns(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe.each(backends)('%s', (backend) => {
  const { openWire, open, xdp } = on(backend)

  test('is an error before and after the kernel has processed it, and none once the link is back', async () => {
    using wire = openWire()
    const { a, b, veth } = wire
    const bytes = (number: number): Uint8Array => frame(b, a, 60, number)
    expect(a.report.carrier).toBe(true)
    expect(queryInterface(veth.a).carrier).toBe(true)
    ip('link', 'set', veth.b, 'down')
    // The event loop reports the change; AF_XDP also reports it for each frame.
    if (!xdp) await turns()
    queueFrame(a, bytes(1))
    expect(a.submit()).toBe(0)
    expect(a.error).toMatchObject(cut(veth.a))
    expect(a.report.carrier).toBe(false)
    expect(queryInterface(veth.a)).toMatchObject({ carrier: false, up: true })
    // AF_XDP's frame is lost, and counted as refused; a packet socket's stays pending.
    const refused = xdp ? 1 : 0
    expect(a.statistics()).toMatchObject({ transmitted: 0, refused, refusals: xdp ? { EBUSY: 1 } : {} })
    expect(a.pending).toBe(1 - refused)
    awaitNotice(veth.a)
    for (let number = 2; number <= 5; number++) queueFrame(a, bytes(number))
    expect(a.submit()).toBe(0)
    expect(a.error).toMatchObject(cut(veth.a))
    await expect(a.drain()).rejects.toMatchObject(cut(veth.a))
    expect(a.statistics()).toMatchObject({ transmitted: 0, refused })
    expect(a.pending).toBe(5 - refused)
    ip('link', 'set', veth.b, 'up')
    b.close()
    using mended = open(veth.b)
    await a.drain()
    expect(a.report.carrier).toBe(true)
    expect(await collect(mended, 5 - refused)).toEqual([1, 2, 3, 4, 5].slice(refused).map(bytes))
    expect(a.statistics()).toMatchObject({ transmitted: 5 - refused, refused })
  })

  test('is seen by a caller that never lets the event loop turn', () => {
    using wire = openWire()
    const { a, b, veth } = wire
    ip('link', 'set', veth.b, 'down')
    awaitNotice(veth.a)
    let submits = 0
    while (a.error === null) {
      queueFrame(a, frame(b, a, 60))
      a.submit()
      submits++
    }
    expect(submits).toBeLessThanOrEqual(256)
    expect(a.error).toMatchObject(cut(veth.a))
  })

  test('from the beginning', async () => {
    using veth = vethPair()
    using b = open(veth.b)
    ip('link', 'set', veth.b, 'down')
    awaitNotice(veth.a)
    using a = open(veth.a)
    expect(a.report.carrier).toBe(false)
    queueFrame(a, frame(b, a, 60))
    await expect(a.drain()).rejects.toMatchObject(cut(veth.a))
    expect(a.statistics()).toMatchObject({ transmitted: 0, refused: 0 })
  })

  test('its own end is down: the error and the report name that', () => {
    using wire = openWire()
    const { a, b, veth } = wire
    ip('link', 'set', veth.a, 'down')
    queueFrame(a, frame(b, a, 60))
    expect(a.submit()).toBe(0)
    expect(a.error).toMatchObject({
      code: 'ENETDOWN',
      message: expect.stringContaining(`interface "${veth.a}" is down: ip link set ${veth.a} up`),
    })
    expect(a.report.carrier).toBe(false)
  })

  describe('the command line', () => {
    let veth: VethPair
    beforeAll(() => {
      veth = vethPair()
      ip('link', 'set', veth.b, 'down')
      awaitNotice(veth.a)
    })
    afterAll(() => veth.remove())

    test.each([
      ['send', ['ffffffffffff', '020000000001', '88b5', '00'], '0 of 1 frames accepted by '],
      ['generate', ['--to', '02:00:00:00:00:02', '-c', '10'], '0 frames of 60 bytes to '],
    ])('%s says so, and fails', async (command, words, sent) => {
      const { code, stdout, stderr } = await ibverbs([command, veth.a, ...words, '--backend', backend])
      expect({ code, stdout, stderr }).toEqual({
        code: 1,
        stdout: expect.stringContaining(sent),
        stderr: expect.stringMatching(
          new RegExp(`^ibverbs ${command}: ENETDOWN: \\w+: interface "${veth.a}" has no carrier: .*\\n$`),
        ),
      })
    })
  })
})

describe('behind a token bucket', () => {
  const count = 3000
  let veth: VethPair
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'ibverbs-bucket-'))
    veth = vethPair()
    tc('qdisc', 'add', 'dev', veth.a, 'root', 'tbf', 'rate', '4mbit', 'burst', '2000', 'limit', '4000')
  })
  afterAll(() => {
    veth.remove()
    rmSync(folder, { recursive: true })
  })

  test('generate: all go, slowly', async () => {
    using b = PacketQueue.open(veth.b, { etherType: 0x88b5, frameCount: 8192 })
    const { mac } = b.interface
    const { code, stdout, stderr } = await ibverbs([
      'generate',
      veth.a,
      '--to',
      mac,
      '-c',
      `${count}`,
      '-r',
      'max',
    ])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(`${count} frames of 60 bytes`)
    expect((await collect(b, count)).length).toBe(count)
  })

  test('send -r: all go, slowly', async () => {
    using b = PacketQueue.open(veth.b, { etherType: 0x88b6, frameCount: 8192 })
    using a = PacketQueue.open(veth.a, { transmitOnly: true })
    const encoder = new PcapEncoder()
    const parts = [encoder.header()]
    const sent = Array.from({ length: count }, (_, i) => {
      const bytes = frame(b, a, 60, i)
      bytes[13] = 0xb6
      encoder.add(1, 0, bytes)
      parts.push(Uint8Array.from(encoder.take()))
      return bytes
    })
    const file = join(folder, 'frames.pcap')
    writeFileSync(file, Buffer.concat(parts))
    const { code, stdout } = await ibverbs(['send', veth.a, '-r', file])
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringContaining(`${count} of ${count} frames`),
    })
    // Compared as one value: a diff of that many would take minutes.
    const received = await collect(b, count)
    expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true)
  })
})
