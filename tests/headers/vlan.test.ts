/** Adds and removes tags: only the addresses move. */
import { EtherType, ethernet, vlan } from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { Random } from '../beds/random.js'
import { dissect } from './tshark.js'

test('pushed and popped, once and twice: the payload never moves', () => {
  const random = new Random(8021)
  for (let i = 0; i < 200; i++) {
    const bytes = random.bytes(256)
    const at = random.integer(8, 40)
    const end = at + random.integer(14, 200)
    ethernet.setEtherType(bytes, at, 0x0800)
    const before = bytes.slice()
    const [inner, outer] = [random.u16(), random.u16()]

    const once = vlan.push(bytes, at, 0, inner)
    expect(once).toBe(at - 4)
    const twice = vlan.push(bytes, once, 0, outer, EtherType.serviceVlan)
    expect(twice).toBe(at - 8)
    expect(bytes.slice(0, twice)).toEqual(before.slice(0, twice))
    expect(bytes.slice(at + 12)).toEqual(before.slice(at + 12))
    expect(bytes.slice(twice, twice + 12)).toEqual(before.slice(at, at + 12))
    expect(ethernet.etherType(bytes, twice)).toBe(EtherType.serviceVlan)
    expect(vlan.control(bytes, twice + 14)).toBe(outer)
    expect(vlan.etherType(bytes, twice + 14)).toBe(EtherType.vlan)
    expect(vlan.control(bytes, twice + 18)).toBe(inner)
    expect(vlan.payload(bytes, twice, end)).toBe(at + 14)
    expect(vlan.payloadType(bytes, at + 14)).toBe(0x0800)

    expect(vlan.pop(bytes, twice, end)).toBe(once)
    expect(vlan.pop(bytes, once, end)).toBe(at)
    expect(bytes.slice(at)).toEqual(before.slice(at))
    expect(vlan.pop(bytes, at, end)).toBe(-1)
    expect(bytes.slice(at)).toEqual(before.slice(at))
  }
})

test('a queue of tags, changed on the way, as tshark reads it', () => {
  const random = new Random(11)
  const frames: Uint8Array[] = []
  const expected: object[] = []
  for (let i = 0; i < 30; i++) {
    const bytes = random.bytes(200)
    const [to, from] = [random.mac(), random.mac()]
    ethernet.write(bytes, 100, to, from, 0x88b5)
    const single = vlan.push(bytes, 100, 80, 0)
    vlan.setId(bytes, single + 14, i * 100)
    vlan.setPriority(bytes, single + 14, i % 8)
    vlan.setDropEligible(bytes, single + 14, i % 2)
    const double =
      i % 3 === 0 ? vlan.push(bytes, single, 80, vlan.controlOf(4094 - i, 7 - (i % 8), 1), 0x88a8) : single
    frames.push(bytes.slice(double, 160))
    const is = double !== single
    expected.push({
      'eth.dst': ethernet.format(to),
      'eth.src': ethernet.format(from),
      'eth.type': is ? '0x88a8' : '0x8100',
      'ieee8021ad.id': is ? String(4094 - i) : '',
      'ieee8021ad.priority': is ? String(7 - (i % 8)) : '',
      'ieee8021ad.dei': is ? '1' : '',
      'vlan.id': String(i * 100),
      'vlan.priority': String(i % 8),
      'vlan.dei': String(i % 2),
      'vlan.etype': '0x88b5',
    })
  }
  const rows = dissect(frames, Object.keys(expected[0]))
  expect(rows).toEqual(expected)
})

test('no room for a tag, or no tag to remove: −1, and no byte changes', () => {
  const bytes = new Random(12).bytes(64)
  ethernet.setEtherType(bytes, 3, EtherType.vlan)
  const before = bytes.slice()
  expect(vlan.push(bytes, 3, 0, 1)).toBe(-1)
  expect(vlan.push(bytes, 20, 17, 1)).toBe(-1)
  expect(vlan.push(bytes, 3, -10, 1)).toBe(-1)
  expect(vlan.push(bytes, Number.NaN, 0, 1)).toBe(-1)
  expect(vlan.pop(bytes, 3, 20)).toBe(-1)
  expect(vlan.pop(bytes, 3, 65)).toBe(-1)
  expect(vlan.pop(bytes, -1, 64)).toBe(-1)
  expect(vlan.payload(bytes, 3, 16)).toBe(-1)
  expect(vlan.payload(bytes, 3, 20)).toBe(-1)
  expect(bytes).toEqual(before)
  expect(vlan.push(bytes, 20, 16, 1)).toBe(16)
})

test('nothing but tags up to the end', () => {
  const bytes = new Uint8Array(5000)
  for (let i = 12; i < 5000; i += 4) bytes.set([0x81, 0, 0, 1], i)
  expect(vlan.payload(bytes, 0, 5000)).toBe(-1)
})
