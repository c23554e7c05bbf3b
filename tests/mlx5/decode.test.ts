/** The decoder against entries that mlx5dv.h's own functions laid out. */
import { join } from 'node:path'
import {
  type DecodedEntry,
  DecodeError,
  decodeCompletion,
  decodeDoorbell,
  decodeMiniCompletions,
  decodeReceiveRequest,
  decodeSendRequest,
  formatEntry,
} from 'ibverbs/mlx5'
import { describe, expect, test } from 'vitest'
import { Random } from '../beds/random.js'
import { runC } from './header.js'

const entries = Object.fromEntries(
  runC({ file: join(import.meta.dirname, 'programs/entries.c') })
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([name, hex]) => [name, new Uint8Array(Buffer.from(hex, 'hex'))]),
) as Record<string, Uint8Array>

/** Each segment as its title and its fields' texts. */
const told = ({ segments }: DecodedEntry) =>
  segments.map(({ title, fields }) => ({
    title,
    ...Object.fromEntries(fields.map(({ name, text }) => [name, text])),
  }))

describe('send requests', () => {
  test('a raw frame: headers in the Ethernet segment, then two elements', () => {
    const entry = decodeSendRequest(entries.frame, { type: 'RAW_PACKET' })
    expect(entry).toMatchObject({
      title: 'send request 48879: SEND',
      index: 0xbeef,
      blocks: 2,
      opcode: 'SEND',
    })
    expect(entry.bytes).toEqual(entries.frame)
    expect(told(entry)).toEqual([
      {
        title: 'control segment',
        opcodeModifier: '0x00',
        index: '48879',
        opcode: 'SEND',
        queuePairNumber: '0x123456',
        segments: '5',
        signature: '0x00',
        streamChannel: '0x0000',
        fence: 'SMALL_AND_FENCE',
        completion: 'ALWAYS',
        solicited: '0',
        immediate: '0x01020304',
      },
      {
        title: 'Ethernet segment',
        outerL4Offset: '0',
        outerL3Offset: '0',
        innerL4Offset: '0',
        innerL3Offset: '0',
        checksums: 'L3_CSUM | L4_CSUM',
        parser: '0x00',
        segmentSize: '1448',
        metadata: '0x00000000',
        insertVlan: '0',
        inlineHeaderSize: '18',
      },
      { title: 'inline header', bytes: 'a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab ac ad ae af b0 b1' },
      { title: 'data segment', byteCount: '1500', key: '0x0000abcd', address: '0x1122334455667788' },
      { title: 'data segment', byteCount: '64', key: '0x0000ef01', address: '0x0000000000001000' },
    ])
    expect(entry.segments.map(({ offset }) => offset)).toEqual([0, 16, 30, 48, 64])
  })

  test('a raw frame with a VLAN tag to insert', () => {
    const entry = decodeSendRequest(entries.tagged, { type: 'RAW_PACKET' })
    expect(told(entry).slice(2)).toEqual([
      { title: 'VLAN tag to insert', priority: '0x3', vlan: '0x064' },
      { title: 'data segment', byteCount: '60', key: '0x00000001', address: '0x0000000000000000' },
    ])
  })

  test('a send with immediate data, solicited', () => {
    const [control, ...rest] = told(decodeSendRequest(entries.send, { type: 'RC' }))
    expect(control).toMatchObject({ opcode: 'SEND_IMM', completion: 'ALWAYS', solicited: '1', fence: 'NONE' })
    expect(rest).toEqual([
      { title: 'data segment', byteCount: '4096', key: '0x00000007', address: '0x00007fff00000000' },
    ])
  })

  test('inline data', () => {
    expect(told(decodeSendRequest(entries.inline, { type: 'RC' })).slice(1)).toEqual([
      { title: 'inline data segment', inline: '1', byteCount: '20' },
      { title: 'inline data', bytes: Array(20).fill('5a').join(' ') },
    ])
  })

  test('a write and an atomic', () => {
    expect(told(decodeSendRequest(entries.write, { type: 'UC' })).slice(1)).toEqual([
      { title: 'remote address segment', address: '0xfedcba9876543210', key: '0x00000077' },
      { title: 'data segment', byteCount: '1', key: '0x00000002', address: '0x0000000000000003' },
    ])
    expect(told(decodeSendRequest(entries.atomic, { type: 'RC' })).slice(1, 3)).toEqual([
      { title: 'remote address segment', address: '0x0000000000000040', key: '0x00000000' },
      { title: 'atomic segment', swapOrAdd: '0xffffffffffffffff', compare: '0x0000000000000002' },
    ])
  })

  test('a datagram', () => {
    expect(told(decodeSendRequest(entries.datagram, { type: 'UD' }))[1]).toEqual({
      title: 'datagram segment',
      queueKey: '0x11111111',
      extended: '1',
      queuePairNumber: '0xabcdef',
      staticRate: '3',
      serviceLevel: '5',
      sourcePathBits: '127',
      udpSourcePort: '49152',
      mac: '02:00:00:00:00:09',
      trafficClass: '0x68',
      hopLimit: '64',
      hasRoute: '1',
      gidIndex: '3',
      flowLabel: '0xfffff',
      gid: '::ffff:10.0.0.1',
    })
  })

  test('a UMR', () => {
    const [, control, key] = told(decodeSendRequest(entries.umr, { type: 'RC' }))
    expect(control).toMatchObject({
      inline: '1',
      checkFree: '1',
      klmOctowords: '4',
      mask: '0x0000000000000001',
    })
    expect(key).toMatchObject({
      access: 'LOCAL_READ | REMOTE_READ',
      queuePairNumber: '0xffffff',
      keyTag: '0x42',
      address: '0x0000000000001000',
      byteLength: '8192',
      logPageSize: '12',
    })
  })

  test('an enhanced multi-packet send: an Ethernet segment, then a segment for each frame', () => {
    const bytes = new Uint8Array(64)
    bytes.set([0, 0, 7, 0x29, 0, 0, 1, 4])
    bytes.set([0, 0, 0, 60, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 64], 32)
    bytes.set([0, 0, 0, 61, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 128], 48)
    const entry = decodeSendRequest(bytes, { type: 'RAW_PACKET' })
    expect(entry.opcode).toBe('ENHANCED_MPSW')
    expect(told(entry).map(({ title }) => title)).toEqual([
      'control segment',
      'Ethernet segment',
      'data segment',
      'data segment',
    ])
  })

  test('an opcode without a name', () => {
    const bytes = new Uint8Array(32)
    bytes.set([0, 0, 1, 0xee, 0, 0, 1, 2])
    const entry = decodeSendRequest(bytes, { type: 'RC' })
    expect(entry).toMatchObject({ title: 'send request 1: opcode 0xee', opcode: undefined })
    expect(told(entry)[1]).toEqual({ title: 'segment', bytes: Array(16).fill('00').join(' ') })
  })

  test('what is none', () => {
    const decode = (bytes: Uint8Array) => () => decodeSendRequest(bytes, { type: 'RC' })
    expect(decode(new Uint8Array(15))).toThrow(
      new DecodeError('a send request has 16 bytes at least, not 15', 15),
    )
    expect(decode(new Uint8Array(64))).toThrow('a send request of no segments (ds is 0)')
    const cut = entries.send.slice(0, 31)
    expect(decode(cut)).toThrow('the send request has 32 bytes, and only 31 are there')
    const write = entries.write.slice(0, 16)
    write[7] = 1
    expect(decode(write)).toThrow(
      'the remote address segment takes 16 bytes from 16 on, and the entry ends at 16',
    )
    try {
      decode(write)()
    } catch (error) {
      expect(error).toMatchObject({ name: 'DecodeError', code: 'ERR_IBVERBS_MLX5_DECODE', offset: 16 })
    }
    // @ts-expect-error
    expect(() => decodeSendRequest(write, { type: 'XRC' })).toThrow('"options.type" must be one of')
    // @ts-expect-error
    expect(() => decodeSendRequest('', { type: 'RC' })).toThrow('"bytes" must be a Uint8Array')
  })
})

describe('receive requests', () => {
  test('elements up to the one that ends the list', () => {
    const entry = decodeReceiveRequest(entries.receive)
    expect(entry).toMatchObject({ title: 'receive request: 1 element', elements: 1 })
    expect(told(entry)).toEqual([
      { title: 'data segment', byteCount: '2048', key: '0x00000009', address: '0x0000000000010000' },
      { title: 'end of the list', byteCount: '0', key: '0x00000100', address: '0x0000000000000000' },
    ])
  })

  test('of a queue with a head', () => {
    expect(told(decodeReceiveRequest(entries.striding, { head: true }))).toEqual([
      { title: 'next segment', nextIndex: '5', signature: '0x00' },
      { title: 'data segment', byteCount: '65536', key: '0x00000009', address: '0x0000000000020000' },
    ])
  })

  test('what is none', () => {
    expect(() => decodeReceiveRequest(new Uint8Array(24))).toThrow(
      'a receive request has a multiple of 16 bytes, 16 at least, not 24',
    )
    expect(() => decodeReceiveRequest(new Uint8Array(16), { head: true })).toThrow('32 at least, not 16')
  })
})

describe('completions', () => {
  test('of a send request', () => {
    const entry = decodeCompletion(entries.requester)
    expect(entry).toMatchObject({
      title: 'completion: REQ',
      opcode: 'REQ',
      format: 'NO_INLINE_DATA',
      owner: 1,
    })
    expect(told(entry)).toEqual([
      {
        title: 'completion of a send request',
        userIndex: '0x00000a',
        byteCount: '1514',
        timestamp: '1311768467463790320',
        requestOpcode: 'SEND',
        queuePairNumber: '0x123456',
        wqeCounter: '65535',
        signature: '0x00',
        opcode: 'REQ',
        format: 'NO_INLINE_DATA',
        solicited: '0',
        owner: '1',
      },
    ])
  })

  test('of a message', () => {
    expect(told(decodeCompletion(entries.responder, { type: 'UD' }))[0]).toMatchObject({
      hasRoute: '1',
      networkHeader: 'IPV4',
      sourceQueuePair: '0x000077',
      immediate: '0xcafebabe',
      solicited: '1',
      opcode: 'RESP_SEND_IMM',
    })
  })

  test('of a frame', () => {
    expect(told(decodeCompletion(entries.received, { type: 'RAW_PACKET' }))[0]).toMatchObject({
      checks: 'L3_OK | L4_OK',
      l4HeaderType: 'TCP_ACK_AND_DATA',
      l3HeaderType: 'IPV6',
      vlanStripped: '1',
      vlanTag: '0x6064',
      flowTag: '0x123456',
      byteCount: '1514',
    })
  })

  test('of a frame in a striding receive queue', () => {
    const bytes = entries.received.slice()
    bytes.set([0x80, 3, 0, 60], 44)
    const [frame, count] = told(decodeCompletion(bytes, { type: 'RAW_PACKET', striding: true }))
    expect(frame).not.toHaveProperty('byteCount')
    expect(count).toEqual({
      title: 'byte count of a striding receive',
      filler: '1',
      consumedStrides: '3',
      byteCount: '60',
    })
  })

  test('an error, in words', () => {
    const entry = decodeCompletion(entries.error)
    expect(entry).toMatchObject({
      title: 'completion: REQ_ERR, REMOTE_ACCESS_ERR',
      syndrome: 'REMOTE_ACCESS_ERR',
      explanation:
        'the peer’s memory does not allow it: the rkey is wrong or closed, the bytes lie outside its region, or the access flag is missing (vendor syndrome 0x88: seen with a wrong rkey)',
    })
    expect(told(entry)[0]).toMatchObject({
      requestOpcode: 'RDMA_READ',
      queuePairNumber: '0x000055',
      wqeCounter: '3',
    })
    const strange = entries.error.slice()
    strange.set([0, 0x77], 54)
    expect(decodeCompletion(strange).explanation).toBe('syndrome 0x77 is not in mlx5dv.h')
    expect(decodeCompletion(strange)).not.toHaveProperty('syndrome')
  })

  test('of 128 bytes, and with the message in it', () => {
    const bytes = new Uint8Array(128).fill(0x11, 0, 64)
    bytes.set(entries.responder, 64)
    bytes[127] |= 2 << 2
    const [data, responder] = decodeCompletion(bytes).segments
    expect(data).toMatchObject({ title: 'inline data', offset: 0, length: 64 })
    expect(responder).toMatchObject({ offset: 64, length: 64 })
    const small = entries.responder.slice()
    small[63] |= 1 << 2
    const [inlined, rest] = told(decodeCompletion(small))
    expect(inlined.title).toBe('inline data')
    expect(rest).not.toHaveProperty('sourceQueuePair')
    expect(rest).toHaveProperty('immediate', '0xcafebabe')
  })

  test('compressed: a title and its mini completions', () => {
    const title = entries.received.slice()
    title[63] |= 3 << 2
    const entry = decodeCompletion(title, { type: 'RAW_PACKET' })
    expect(entry.title).toBe('completion: RESP_SEND, the title of 1514 compressed completions')
    expect(told(entry)[0]).toHaveProperty('completions', '1514')
    const minis = new Uint8Array(64)
    minis.set([0x12, 0x34, 0, 5, 0, 0, 0, 60, 0xff, 0xff, 0, 6, 0, 0, 5, 0xea])
    expect(told(decodeMiniCompletions(minis, 'CSUM_STRIDX', 2))).toEqual([
      { title: 'mini completion 0', checksum: '0x1234', strideIndex: '5', byteCount: '60' },
      { title: 'mini completion 1', checksum: '0xffff', strideIndex: '6', byteCount: '1514' },
    ])
    expect(told(decodeMiniCompletions(minis, 'HASH', 1))[0]).toMatchObject({ rssHash: '0x12340005' })
    expect(told(decodeMiniCompletions(minis, 'CSUM', 1))[0]).not.toHaveProperty('strideIndex')
    expect(() => decodeMiniCompletions(minis, 'CSUM', 9)).toThrow('"count"')
    expect(() => decodeMiniCompletions(new Uint8Array(8), 'CSUM', 2)).toThrow('have 16 bytes, not 8')
  })
})

test('doorbells', () => {
  const bytes = new Uint8Array([0x31, 0, 0, 5, 0x21, 0, 0, 7])
  expect(told(decodeDoorbell(bytes, 'workQueue'))[0]).toMatchObject({ receiveCounter: '5', sendCounter: '7' })
  expect(told(decodeDoorbell(bytes, 'completionQueue'))[0]).toMatchObject({
    setConsumerIndex: '5',
    sequence: '2',
    command: 'REQ_NOT_SOL',
    consumerIndex: '7',
  })
  expect(told(decodeDoorbell(bytes, 'completionQueueRegister'))[0]).toMatchObject({
    sequence: '3',
    consumerIndex: '5',
    completionQueueNumber: '0x21000007',
  })
  expect(() => decodeDoorbell(new Uint8Array(4), 'workQueue')).toThrow('a doorbell has 8 bytes, not 4')
})

test('an entry as text', () => {
  const text = formatEntry(decodeSendRequest(entries.send, { type: 'RC' }))
  expect(text.split('\n').slice(0, 6)).toEqual([
    '   send request 48879: SEND_IMM',
    '   control segment struct mlx5_wqe_ctrl_seg',
    '      0: 00 be ef 0b 12 34 56 02 00 00 00 0a 01 02 03 04  .....4V.........',
    '         opcodeModifier   0x00        opmod_idx_opcode[31:24]',
    '         index            48879       opmod_idx_opcode[23:8]',
    '         opcode           SEND_IMM    opmod_idx_opcode[7:0]',
  ])
})

test('any bytes: a DecodeError, or segments within them', () => {
  const numbers = new Random(12)
  const random = (limit: number) => numbers.below(limit)
  const types = ['RAW_PACKET', 'RC', 'UC', 'UD'] as const
  let decoded = 0
  const lengths = [0, 8, 16, 32, 64, 128, 1008, 1024]
  for (let i = 0; i < 1000; i++) {
    const bytes = Uint8Array.from({ length: lengths[random(lengths.length)] + random(3) }, () => random(256))
    // Most opcodes have no name, and most sizes are too large.
    if (bytes.length > 8 && random(2)) bytes[3] = [0, 8, 10, 14, 17, 20, 37, 41][random(8)]
    if (bytes.length > 8 && random(2)) bytes[7] = random(bytes.length / 16 + 1)
    const type = types[random(4)]
    const calls = [
      () => decodeSendRequest(bytes, { type }),
      () => decodeReceiveRequest(bytes, { head: random(2) === 1 }),
      () => decodeCompletion(bytes, { type, striding: random(2) === 1 }),
      () => decodeMiniCompletions(bytes, 'HASH'),
      () => decodeDoorbell(bytes, 'completionQueue'),
    ]
    for (const call of calls) {
      try {
        const entry = call()
        decoded++
        const { bytes, segments } = entry
        const outside = segments.filter(
          ({ offset, length, fields }) =>
            offset + length > bytes.length ||
            fields.some((field) => field.offset < offset || field.offset + field.length > offset + length),
        )
        if (outside.length > 0) expect(outside).toEqual([])
        formatEntry(entry)
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
        expect(error.offset).toBeLessThanOrEqual(bytes.length)
      }
    }
  }
  expect(decoded).toBeGreaterThan(1000)
})
