/** PacketFilter matches the same frames as `tcpdump -r`, or rejects an expression with the same words. */
import { PacketFilter } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { capture, expressions, frames, inBatches, more, names, tcpdump } from './filters.js'

function ours(expression: string, list = frames): number[] | string {
  try {
    const filter = new PacketFilter(expression)
    return [...list.keys()].filter((i) => filter.matches(list[i].bytes, list[i].original))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    expect(code).toBe('ERR_IBVERBS_FILTER')
    const prefix = `filter '${expression}': `
    expect(message.slice(0, prefix.length)).toBe(prefix)
    return message.slice(prefix.length)
  }
}

describe('selects what tcpdump -r selects', () => {
  test('116 common expressions, and more, on frames of many kinds', async () => {
    const all = [...expressions, ...more, 'ip6 protochain 17', 'ip protochain 6']
    const input = capture(frames)
    const theirs = await inBatches(all, 8, (expression) => tcpdump(input, expression))
    const refused = theirs.slice(0, 116).filter((each) => typeof each === 'string')
    expect(expressions.length).toBe(116)
    expect(refused.length).toBe(9)
    for (const [i, expression] of all.entries()) {
      expect([expression, names(ours(expression))]).toEqual([expression, names(theirs[i])])
    }
    // Some frames match and some do not: the comparison is meaningful.
    expect(theirs.filter((each) => each.length > 0 && each.length < frames.length).length).toBeGreaterThan(
      100,
    )
  })

  test('frames captured in part: a load beyond that part matches nothing, len is the length on the wire', async () => {
    const cut = frames.map(({ bytes, original }) => ({ bytes: bytes.subarray(0, 36), original }))
    const input = capture(cut)
    for (const expression of [
      'udp port 53',
      'greater 60',
      'len <= 60',
      'tcp[13] & 2 != 0',
      'ip',
      'not ether[40] = 0',
    ]) {
      expect([expression, ours(expression, cut)]).toEqual([expression, await tcpdump(input, expression)])
    }
  })
})

test('inbound is refused as tcpdump -r refuses it', async () => {
  expect(ours('inbound')).toBe(await tcpdump(capture(frames), 'inbound'))
  expect(ours('inbound')).toBe('inbound/outbound not supported on Ethernet when reading savefiles')
})

describe('arguments', () => {
  test('an empty expression matches every frame', () => {
    for (const expression of ['', ' ']) expect(ours(expression)).toEqual([...frames.keys()])
  })

  test('an argument that is no string, or no frame', () => {
    expect(() => new PacketFilter(5 as never)).toThrow('"expression" must be a string, not 5')
    expect(() => new PacketFilter('ip\0or')).toThrow("filter 'ip\0or': a NUL character")
    const filter = new PacketFilter('ip')
    expect(() => filter.matches('x' as never)).toThrow('"frame" must be a Uint8Array')
    expect(() => filter.matches(new Uint8Array(60), -1)).toThrow(
      '"originalLength" must be an integer from 0 to',
    )
    expect(filter.matches(new Uint8Array())).toBe(false)
    expect(filter.expression).toBe('ip')
  })

  test('the program is a copy: four numbers for each instruction, and it accepts whole frames', () => {
    const filter = new PacketFilter('ip')
    expect([...filter.program]).toEqual([40, 0, 0, 12, 21, 0, 1, 0x0800, 6, 0, 0, 0xffffffff, 6, 0, 0, 0])
    filter.program.fill(0)
    expect(filter.matches(frames[0].bytes)).toBe(new PacketFilter('ip').matches(frames[0].bytes))
  })
})
