import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PacketQueue } from 'ibverbs/ethernet'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ip, type VethPair, vethPair } from '../beds/veth.js'
import { ibverbs, main, Running, start } from '../cli/run.js'
import { backends, collect } from './traffic.js'

const hex = 'ff:ff:ff:ff:ff:ff 02-00-00-00-00-01 88b5'
const payload = '68656c6c6f'
const header = 'ffffffffffff02000000000188b5'

let veth: VethPair
let queue: PacketQueue
let folder: string

beforeEach(() => {
  veth = vethPair()
  queue = PacketQueue.open(veth.b)
  folder = mkdtempSync(join(tmpdir(), 'ibverbs-send-'))
})

afterEach(() => {
  queue.close()
  veth.remove()
  rmSync(folder, { recursive: true })
})

const text = (frames: readonly Uint8Array[]) => frames.map((frame) => Buffer.from(frame).toString('hex'))

describe('ibverbs send', () => {
  test('sends the bytes of its arguments, as one frame and as they are', async () => {
    const { code, stdout, stderr } = await ibverbs(['send', veth.a, ...hex.split(' '), payload])
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: `1 of 1 frames accepted by ${veth.a}, 19 bytes\n`,
      stderr: '',
    })
    expect(text(await collect(queue, 1))).toEqual([header + payload])
  })

  test('pads to 60 bytes where asked, with zeros', async () => {
    const { stdout } = await ibverbs(['send', veth.a, hex, payload, '--pad', '--json'])
    expect(JSON.parse(stdout)).toEqual({ interface: veth.a, sent: 1, bytes: 60, wanted: 1 })
    expect(text(await collect(queue, 1))).toEqual([(header + payload).padEnd(120, '0')])
  })

  const lines = `# comment\n${hex} 01 # one\n\n${hex} 02\n${hex} 03`
  const three = [1, 2, 3].map((n) => `${header}0${n}`)

  test('sends the frames of a file, one a line, in order, as often as asked', async () => {
    const file = join(folder, 'frames.hex')
    writeFileSync(file, lines)
    const { code, stdout } = await ibverbs(['send', veth.a, '-f', file, '-c', '100'])
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `300 of 300 frames accepted by ${veth.a}, 4500 bytes\n`,
    })
    expect(text(await collect(queue, 300))).toEqual(Array(100).fill(three).flat())
  })

  test.each([[[]], [['-f', '-']]])('reads standard input with %j', async (args: string[]) => {
    const { code } = await ibverbs(['send', veth.a, ...args], { input: lines })
    expect(code).toBe(0)
    expect(text(await collect(queue, 3))).toEqual(three)
  })

  test('sends more frames than a queue has, all of them', async () => {
    const { stdout } = await ibverbs(['send', veth.a, hex, '-c', '20000'])
    expect(stdout).toBe(`20000 of 20000 frames accepted by ${veth.a}, 280000 bytes\n`)
  })

  test('names the line of a file that is wrong, and sends nothing', async () => {
    const { code, stdout, stderr } = await ibverbs(['send', veth.a], { input: `${hex}\n${hex} xy` })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toBe("ibverbs send: stdin:2: 'x' is not a hexadecimal digit\nTry 'ibverbs send --help'.\n")
    expect(queue.receive()).toBe(0)
  })

  test('refuses a frame that is too long for the interface, and sends nothing', async () => {
    const { code, stderr } = await ibverbs(['send', veth.a], { input: `${hex}\n${hex}${'00'.repeat(1505)}` })
    expect(code).toBe(1)
    expect(stderr).toBe(
      `ibverbs send: a frame of 1519 bytes is too long for ${veth.a}: its MTU is 1500, the headers take 14\n`,
    )
    expect(queue.receive()).toBe(0)
  })

  test('reports the frames sent before the kernel refused one', async () => {
    // Longer than the MTU, and without a VLAN tag that would allow it: only the kernel can detect it.
    const { code, stdout, stderr } = await ibverbs(['send', veth.a], {
      input: `${hex}01\n${hex}${'00'.repeat(1501)}\n${hex}02`,
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: `1 of 3 frames accepted by ${veth.a}, 15 bytes\n` })
    expect(stderr).toMatch(
      /^1 refused by the kernel \(EMSGSIZE: too long for the interface\)\nibverbs send: EMSGSIZE: /,
    )
  })

  test.each([
    ['Ctrl-C', 'SIGINT', 130],
    ['SIGTERM', 'SIGTERM', 143],
  ] as const)('ends on %s (%s) with what was sent so far, and exit code %i', async (_, signal, expected) => {
    const sending = start(['send', veth.a, hex, '-c', '1000000', '-i', '5'])
    await collect(queue, 3)
    sending.child.kill(signal)
    const { code, stdout, stderr } = await sending.finished
    expect({ code, stderr }).toEqual({ code: expected, stderr: '' })
    const sent = Number(/^(\d+) of 1000000 frames accepted/.exec(stdout)?.[1])
    expect(sent).toBeGreaterThanOrEqual(3)
    expect(sent).toBeLessThan(1000000)
  })

  test('ends on Ctrl-C also when it sends without a pause', async () => {
    const sending = start(['send', veth.a, hex, '-c', '1000000000'])
    await queue.wait()
    sending.child.kill('SIGINT')
    const { code, stdout } = await sending.finished
    expect(code).toBe(130)
    expect(stdout).toMatch(/^\d+ of 1000000000 frames accepted/)
  })

  test('lists the interfaces when there is none of that name', async () => {
    const { code, stderr } = await ibverbs(['send', 'nosuch0', hex])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^ibverbs send: ENODEV: /)
    expect(stderr).toContain(veth.a)
  })

  test('reports that the interface is down', async () => {
    ip('link', 'set', veth.a, 'down')
    const { code, stderr } = await ibverbs(['send', veth.a, hex])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^ibverbs send: ENETDOWN: /)
  })

  test('names the remedy for a missing capability', async () => {
    const command = ['--bounding-set=-all', process.execPath, main, 'send', veth.a, hex]
    const { code, stderr } = await new Running('setpriv', command).finished
    expect(code).toBe(1)
    expect(stderr).toMatch(/^ibverbs send: EPERM: socket.*raw frames need CAP_NET_RAW/)
  })

  test.runIf(backends.includes('af_xdp'))('sends by AF_XDP too', async () => {
    const { code, stdout } = await ibverbs(['send', veth.a, hex, payload, '-c', '100', '--backend', 'af_xdp'])
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `100 of 100 frames accepted by ${veth.a}, 1900 bytes\n`,
    })
    expect(text(await collect(queue, 100))).toEqual(Array(100).fill(header + payload))
  })
})
