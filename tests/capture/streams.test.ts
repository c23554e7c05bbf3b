/** The streams of captures: frames to bytes and back. */
import { Readable, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { finished, pipeline } from 'node:stream/promises'
import { CaptureDecoder, type CapturedFrame, CaptureEncoder } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { frames } from '../cli/frames.js'
import { parse } from './tools.js'

const captured: CapturedFrame[] = Object.values(frames).map((data, i) => ({
  data,
  originalLength: data.length + i,
  seconds: 1_700_000_000 + i,
  nanoseconds: 123_456_000 + i,
  packetType: i % 5,
  interfaceId: 0,
}))

async function decode(bytes: Uint8Array, piece: number): Promise<CapturedFrame[]> {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += piece) pieces.push(bytes.subarray(at, at + piece))
  return Readable.from(pieces).pipe(new CaptureDecoder()).toArray() as Promise<CapturedFrame[]>
}

describe('CaptureEncoder and CaptureDecoder', () => {
  test('pcapng gives back what was written', async () => {
    const bytes = await buffer(Readable.from(captured).pipe(new CaptureEncoder()))
    expect(await decode(bytes, 100)).toEqual(captured)
  })

  test.each([
    [true, 1],
    [false, 1000],
  ])('pcap (nanoseconds: %s) gives back everything but the direction', async (nanoseconds, unit) => {
    const encoder = new CaptureEncoder({ format: 'pcap', nanoseconds })
    const bytes = await buffer(Readable.from(captured).pipe(encoder))
    expect(await decode(bytes, 4096)).toEqual(
      captured.map(({ packetType: _, ...frame }) => ({
        ...frame,
        nanoseconds: frame.nanoseconds - (frame.nanoseconds % unit),
      })),
    )
  })

  test('a capture without frames is valid, statistics included', async () => {
    const statistics = () => [{ received: 3, dropped: 1 }]
    const bytes = await buffer(Readable.from([]).pipe(new CaptureEncoder({ statistics })))
    expect(parse(bytes)).toEqual([])
    expect(bytes.readUInt32LE(bytes.length - 4)).toBe(76)
    expect(bytes.readUInt32LE(bytes.length - 76)).toBe(5)
    expect(await decode(bytes, 10)).toEqual([])
  })

  test('waits for a slow reader', async () => {
    let given = 0
    const many = Readable.from(
      (function* () {
        for (; given < 10_000; given++)
          yield { ...captured[0], data: Buffer.alloc(1500), originalLength: 1500 }
      })(),
    )
    const held: (() => void)[] = []
    const slow = new Writable({ write: (_chunk, _encoding, done) => void held.push(done), highWaterMark: 1 })
    const piping = pipeline(many, new CaptureEncoder(), slow)
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve))
    for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve))
    expect(given).toBeLessThan(200)
    slow.destroy(new Error('enough'))
    await expect(piping).rejects.toThrow('enough')
  })

  test('refuses invalid frames', async () => {
    const run = (frame: unknown, options = {}) =>
      buffer(Readable.from([frame]).pipe(new CaptureEncoder(options)))
    await expect(fail(captured[0], { data: 'text' })).rejects.toThrow(
      '"frame.data" must be a Uint8Array, not \'text\'',
    )
    await expect(fail(captured[0], { seconds: -1 })).rejects.toThrow(/"frame.seconds" must be a whole number/)
    await expect(fail(captured[0], { interfaceId: 1 })).rejects.toThrow('"frame.interfaceId" must be below 1')
    await expect(run(captured[0])).resolves.toBeInstanceOf(Buffer)
    expect(() => new CaptureEncoder({ format: 'zip' as 'pcap' })).toThrow(/"options.format" must be one of/)
    for (const [options, name] of [
      [{ format: 'pcap', interfaces: [{}] }, 'interfaces'],
      [{ format: 'pcap', statistics: () => [] }, 'statistics'],
      [{ nanoseconds: false }, 'nanoseconds'],
    ] as const) {
      expect(() => new CaptureEncoder(options)).toThrow(new RegExp(`^"options.${name}" must be left out: `))
    }
  })

  describe.each([
    ['cut', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
    ['followed by what is no block', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(40, 0xff)])],
  ])('a capture that is %s delivers its whole frames, then the error', (what, broken) => {
    const whole = what === 'cut' ? captured.slice(0, -1) : captured
    const decoder = async () => {
      const bytes = await buffer(Readable.from(captured).pipe(new CaptureEncoder()))
      return Readable.from([broken(bytes)]).pipe(new CaptureDecoder())
    }
    const error = { code: 'ERR_IBVERBS_CAPTURE' }

    test('to a pipeline', async () => {
      const got: CapturedFrame[] = []
      const slow = new Writable({
        objectMode: true,
        highWaterMark: 1,
        write: (frame, _encoding, done) => {
          got.push(frame)
          setImmediate(done)
        },
      })
      await expect(pipeline(await decoder(), slow)).rejects.toMatchObject(error)
      expect(got).toEqual(whole)
    })

    test('to for await', async () => {
      const got: CapturedFrame[] = []
      await expect(
        (async () => {
          for await (const frame of await decoder()) {
            got.push(frame)
            await new Promise((resolve) => setImmediate(resolve))
          }
        })(),
      ).rejects.toMatchObject(error)
      expect(got).toEqual(whole)
    })

    test("to 'data' and to 'readable'", async () => {
      for (const event of ['data', 'readable']) {
        const got: CapturedFrame[] = []
        const stream = await decoder()
        stream.on(event, (frame?: CapturedFrame) => {
          if (frame) got.push(frame)
          else for (let next = stream.read(); next !== null; next = stream.read()) got.push(next)
        })
        await expect(finished(stream)).rejects.toMatchObject(error)
        expect(got).toEqual(whole)
      }
    })
  })
})

/** The encoder's error for a frame with something wrong in it. */
function fail(frame: CapturedFrame, wrong: object): Promise<unknown> {
  return pipeline(
    Readable.from([{ ...frame, ...wrong }]),
    new CaptureEncoder(),
    new Writable({ write: discard }),
  )
}

function discard(_chunk: unknown, _encoding: string, done: () => void): void {
  done()
}
