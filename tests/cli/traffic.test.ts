/** The parts of generate, forward and reflect that work without a network. */
import { checksum, ethernet, ipv4, ipv6, udp } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { usualWarmup } from '../../dist/cli/generate/generator.js'
import { oversubscriptionWarning } from '../../dist/cli/oversubscription.js'
import { GeneratedFrame, payloadOf, shortestFrame } from '../../dist/cli/traffic/generated-frame.js'
import { bitsText, gapOf, grouped, rateOption } from '../../dist/cli/traffic/rate.js'
import { SequenceCheck, SequenceWindow } from '../../dist/cli/traffic/sequence-check.js'
import { swap } from '../../dist/cli/traffic/swap.js'
import { WallClock } from '../../dist/cli/traffic/wall-clock.js'
import { Pacer } from '../../dist/ethernet/pacer.js'
import { isSoftware } from '../../dist/soft/device-name.js'
import { Random } from '../beds/random.js'
import { frames } from './frames.js'

describe('rates', () => {
  test.each([
    ['1000', 60, 1],
    ['20k', 60, 0.05],
    ['1.5M', 60, 1000 / 1.5e6],
    ['.5', 60, 2000],
    ['1Gbit', 1250, 0.01],
    ['8kbps', 100, 100],
    ['max', 60, 0],
  ])('%s with frames of %i bytes is one every %d ms', (text, length, gap) => {
    expect(gapOf(rateOption('--rate', text), length)).toBeCloseTo(gap, 12)
  })

  test.each(['', '0', '-1', '1x', '1e3', 'fast', '2T'])('%j is none', (text) => {
    expect(() => rateOption('--rate', text)).toThrow(/^--rate must be frames a second like 100k, bits/)
  })

  test('in words', () => {
    expect([1, 1234, 1234567.4].map(grouped)).toEqual(['1', '1 234', '1 234 567'])
    expect([5e3, 2e6, 1.25e9].map(bitsText)).toEqual(['5.0 kbit/s', '2.0 Mbit/s', '1.3 Gbit/s'])
  })
})

describe('SequenceWindow', () => {
  const counts = (numbers: readonly number[]) => {
    const window = new SequenceWindow()
    for (const number of numbers) window.add(number)
    const { distinct, lost, duplicated, reordered, stale } = window
    return { distinct, lost, duplicated, reordered, ...(stale > 0 && { stale }) }
  }
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

  test.each([
    ['in order', range(0, 1000), { distinct: 1000, lost: 0, duplicated: 0, reordered: 0 }],
    ['begun in the middle', range(500, 1000), { distinct: 500, lost: 0, duplicated: 0, reordered: 0 }],
    ['with holes', [0, 1, 4, 5, 9], { distinct: 5, lost: 5, duplicated: 0, reordered: 0 }],
    ['with twins', [0, 1, 1, 2, 0, 3, 3], { distinct: 4, lost: 0, duplicated: 3, reordered: 0 }],
    ['two exchanged', [0, 2, 1, 3], { distinct: 4, lost: 0, duplicated: 0, reordered: 1 }],
    ['one very late', [0, ...range(2, 100), 1], { distinct: 100, lost: 0, duplicated: 0, reordered: 1 }],
    ['one before the first', [5, 4, 6], { distinct: 3, lost: 0, duplicated: 0, reordered: 1 }],
    [
      'a jump beyond the window',
      [0, 1e6, 1e6 + 1],
      { distinct: 3, lost: 1e6 - 1, duplicated: 0, reordered: 0 },
    ],
    [
      'beyond 32 bits',
      [2 ** 33, 2 ** 33 + 1, 2 ** 33],
      { distinct: 2, lost: 0, duplicated: 1, reordered: 0 },
    ],
    [
      'again from far back',
      [...range(0, 200_000), ...range(0, 200_000)],
      { distinct: 200_000, lost: 0, duplicated: 65_536, reordered: 0, stale: 134_464 },
    ],
    [
      'lower than all before, and again',
      [500_000, 5, 5, 6],
      { distinct: 2, lost: 499_994, duplicated: 0, reordered: 1, stale: 2 },
    ],
    [
      'the window wraps around',
      [...range(0, 200_000), 199_999, 150_000],
      { distinct: 200_000, lost: 0, duplicated: 2, reordered: 0 },
    ],
  ])('%s', (_, numbers, expected) => {
    expect(counts(numbers)).toEqual(expected)
  })

  test('counts no frame twice, in any order', () => {
    const random = new Random(10)
    for (let round = 0; round < 50; round++) {
      const window = new SequenceWindow()
      const numbers = Array.from({ length: 2000 }, () => random.below(random.pick([100, 70_000, 1e6])))
      for (const number of numbers) window.add(number)
      const { lost, distinct, duplicated, stale } = window
      expect(distinct + duplicated + stale).toBe(numbers.length)
      expect(lost).toBe(Math.max(...numbers) - Math.min(...numbers) + 1 - distinct)
      expect(lost).toBeGreaterThanOrEqual(0)
      expect(distinct).toBeLessThanOrEqual(new Set(numbers).size)
    }
  })

  test('agrees with a plain count, for frames lost, duplicated and reordered at random', () => {
    const random = new Random(9)
    const numbers = range(0, 5000).flatMap((n) =>
      random.chance(0.05) ? [] : random.chance(0.05) ? [n, n] : [n],
    )
    for (let i = 1; i < numbers.length; i++) {
      if (random.chance(0.1)) [numbers[i - 1], numbers[i]] = [numbers[i], numbers[i - 1]]
    }
    const seen = new Set<number>()
    const expected = { distinct: 0, lost: 0, duplicated: 0, reordered: 0 }
    for (const number of numbers) {
      if (seen.has(number)) expected.duplicated++
      else if (number < Math.max(...seen, -1)) expected.reordered++
      seen.add(number)
    }
    expected.distinct = seen.size
    expected.lost = Math.max(...seen) - Math.min(...seen) + 1 - seen.size
    expect(counts(numbers)).toEqual(expected)
  })
})

const macs = {
  destinationMac: ethernet.parse('02:00:00:00:00:02'),
  sourceMac: ethernet.parse('02:00:00:00:00:01'),
}
const targets = {
  ethernet: macs,
  ipv4: { ...macs, ip: { source: '10.0.0.1', destination: '10.0.0.2', sourcePort: 1, destinationPort: 9 } },
  ipv6: { ...macs, ip: { source: 'fd00::1', destination: 'fd00::2', sourcePort: 1, destinationPort: 9 } },
}

describe.each(Object.entries(targets))('a test frame over %s', (kind, target) => {
  const network = 14
  const transport = kind === 'ipv4' ? 34 : 54

  test('has correct lengths and checksums for any payload', () => {
    for (const length of [shortestFrame(target), shortestFrame(target) + 1, 777, 1514]) {
      const frame = new GeneratedFrame(target, length, 0xfedc)
      const memory = new Uint8Array(2048).fill(0xff)
      for (const sequence of [0, 1, 2 ** 32, 2 ** 48 - 1]) {
        frame.write(memory, 100, sequence, 0xfffffffe, 999_999_999)
        const bytes = memory.subarray(100, 100 + length)
        if (kind !== 'ethernet') {
          const ip = kind === 'ipv4' ? ipv4 : ipv6
          expect(ip.isValid(bytes, network, length)).toBe(true)
          expect(ip.packetEnd(bytes, network)).toBe(length)
          if (kind === 'ipv4') expect(ipv4.verifyChecksum(bytes, network)).toBe(true)
          expect(udp.isValid(bytes, transport, length)).toBe(true)
          expect(udp.verifyChecksum(bytes, transport, network)).toBe(true)
          expect(udp.checksum(bytes, transport)).not.toBe(0)
        }
        expect(
          [...memory.subarray(0, 100), ...memory.subarray(100 + length)].every((byte) => byte === 0xff),
        ).toBe(true)
      }
    }
  })

  test('is recognized, counted and timed, and no other frame is', () => {
    const frame = new GeneratedFrame(target, shortestFrame(target), 77)
    const bytes = new Uint8Array(frame.length)
    const check = new SequenceCheck(77)
    for (const sequence of [3, 5, 2 ** 40]) {
      frame.write(bytes, 0, sequence, 1_700_000_000, 999_000_000)
      expect(check.take(bytes, 0, bytes.length, 1_700_000_001, 1_000_000)).toBe(true)
    }
    expect(check.latency.summary()).toMatchObject({ max: 2000 })
    expect(check.take(bytes, 0, bytes.length - 1, 0, 0)).toBe(kind === 'ethernet')
    for (const other of Object.values(frames)) expect(check.take(other, 0, other.length, 0, 0)).toBe(false)
    new GeneratedFrame(target, bytes.length, 78).write(bytes, 0, 6, 0, 0)
    expect(check.take(bytes, 0, bytes.length, 0, 0)).toBe(false)
    expect(check.totals(10).lost).toBe(7)
  })

  test('is counted but not timed during the warm-up', () => {
    const frame = new GeneratedFrame(target, shortestFrame(target), 77)
    const bytes = new Uint8Array(frame.length)
    const check = new SequenceCheck(77, 2)
    for (const [sequence, took] of [9000, 8000, 700, 600].entries()) {
      frame.write(bytes, 0, sequence, 1_700_000_000, 0)
      expect(check.take(bytes, 0, bytes.length, 1_700_000_000, took)).toBe(true)
    }
    expect(check.totals(4)).toMatchObject({ frames: 4, lost: 0 })
    expect([check.latency.count, check.latency.summary()?.max]).toEqual([2, 0.7])
  })

  test('is still correct after a swap', () => {
    const frame = new GeneratedFrame(target, 200, 1)
    const bytes = new Uint8Array(frame.length)
    frame.write(bytes, 0, 9, 1, 2)
    const before = Uint8Array.from(bytes)
    expect(swap(bytes, 0, bytes.length)).toBe(true)
    expect(bytes).not.toEqual(before)
    expect(ethernet.format(bytes, 0)).toBe('02:00:00:00:00:01')
    if (kind !== 'ethernet') {
      expect(udp.verifyChecksum(bytes, transport, network)).toBe(true)
      expect([udp.sourcePort(bytes, transport), udp.destinationPort(bytes, transport)]).toEqual([9, 1])
    }
    expect(payloadOf(bytes, 0, bytes.length)).toBe(payloadOf(before, 0, before.length))
    expect(swap(bytes, 0, bytes.length)).toBe(true)
    expect(bytes).toEqual(before)
  })
})

test('swap: every kind of frame keeps its checksums; a frame to a group is refused', () => {
  for (const [name, frame] of Object.entries(frames)) {
    const bytes = Uint8Array.from(frame)
    expect(swap(bytes, 0, bytes.length), name).toBe(true)
    expect(Buffer.from(bytes.subarray(0, 12)).toString('hex')).toBe('020000000001020000000002')
    expect(checksum.sum(bytes, 0, bytes.length), name).toBe(checksum.sum(frame, 0, frame.length))
    expect(swap(bytes, 0, bytes.length)).toBe(true)
    expect(Buffer.from(bytes), name).toEqual(frame)
  }
  for (const to of ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01']) {
    const bytes = Uint8Array.from(frames['UDP over IPv4'])
    ethernet.setDestination(bytes, 0, ethernet.parse(to))
    const before = Uint8Array.from(bytes)
    expect(swap(bytes, 0, bytes.length)).toBe(false)
    expect(bytes).toEqual(before)
  }
})

test('swap at random bytes changes nothing outside of the frame', () => {
  const random = new Random(3)
  for (let run = 0; run < 20_000; run++) {
    const kind = Object.values(frames)[run % Object.keys(frames).length]
    const length = random.below(kind.length + 1)
    const memory = new Uint8Array(kind.length + 32).fill(0xaa)
    memory.set(kind.subarray(0, length), 16)
    for (let i = 0; i < 2; i++) if (length > 0) memory[16 + random.below(length)] = random.below(256)
    const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0)
    const before = sum(memory)
    swap(memory, 16, 16 + length)
    expect(sum(memory)).toBe(before)
    expect([...memory.subarray(0, 16), ...memory.subarray(16 + length)].every((byte) => byte === 0xaa)).toBe(
      true,
    )
  }
})

describe('clocks', () => {
  test('WallClock never contradicts Date.now()', () => {
    const clock = new WallClock()
    for (let i = 0; i < 20_000; i++) {
      const before = Date.now()
      clock.read()
      const time = clock.seconds * 1000 + clock.nanoseconds / 1e6
      expect(time).toBeGreaterThanOrEqual(before - 0.001)
      expect(time).toBeLessThanOrEqual(Date.now() + 1.001)
    }
  })

  test('Pacer.hold never returns before the moment, and refuses a distant one', () => {
    for (const ahead of [-1, 0, 0.01, 0.15, 0.5, 1.5]) {
      const moment = performance.now() + ahead
      expect(Pacer.hold(moment)).toBe(true)
      expect(performance.now()).toBeGreaterThanOrEqual(moment)
    }
    expect(Pacer.hold(performance.now() + 10)).toBe(false)
  })

  test('Pacer.sleep ends before the moment, or with the signal', async () => {
    const moment = performance.now() + 20
    while (!Pacer.hold(moment)) await Pacer.sleep(moment)
    expect(performance.now()).toBeGreaterThanOrEqual(moment)
    const controller = new AbortController()
    const sleeping = Pacer.sleep(performance.now() + 1e9, { signal: controller.signal })
    controller.abort()
    await expect(sleeping).rejects.toMatchObject({ name: 'AbortError' })
  })
})

describe('the default warm-up', () => {
  test.each([
    ['of the first 0.2 s', { count: Number.POSITIVE_INFINITY, duration: Number.POSITIVE_INFINITY }, 1, 200],
    [
      'a thousand at most',
      { count: Number.POSITIVE_INFINITY, duration: Number.POSITIVE_INFINITY },
      0.01,
      1000,
    ],
    ['a tenth of the count', { count: 500, duration: Number.POSITIVE_INFINITY }, 1, 50],
    ['a tenth of the duration', { count: Number.POSITIVE_INFINITY, duration: 100 }, 1, 10],
    ['none of a few', { count: 9, duration: Number.POSITIVE_INFINITY }, 1, 0],
    ['as fast as it goes', { count: 20_000, duration: Number.POSITIVE_INFINITY }, 0, 1000],
  ])('is %s', (_, limits, gap, frames) => {
    expect(usualWarmup(limits, gap)).toBe(frames)
  })
})

describe('the warning about too few processors', () => {
  test.each([
    [{ processes: 2, nicThreads: 0 }, 2, null],
    [{ processes: 1, nicThreads: 1 }, 2, null],
    [
      { processes: 2, nicThreads: 0 },
      1,
      'warning: 2 busy processes share 1 processor: the times are those of the scheduler, too',
    ],
    [
      { processes: 2, nicThreads: 2 },
      2,
      "warning: 2 busy processes and 2 software NICs' threads share 2 processors: the times are those of the scheduler, too",
    ],
    [
      { processes: 1, nicThreads: 1 },
      1,
      "warning: 1 busy process and 1 software NIC's thread share 1 processor: the times are those of the scheduler, too",
    ],
  ])('%j on %i: %s', (busy, processors, text) => {
    expect(oversubscriptionWarning(busy, processors)).toBe(text)
  })

  test('knows a software device by its name', () => {
    expect(['mlx5_soft0', 'mlx5_soft11/1', 'mlx5_0', 'rxe0', 'mlx5_software'].map(isSoftware)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
  })
})
