/** How tcpdump, tshark and capinfos read a capture, to compare with this library's reading. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CapturedFrame, CaptureParser } from 'ibverbs/ethernet'
import { execFileSync } from '../beds/child.js'

/** A temporary folder, removed at the end of its scope. */
export function folder(): Disposable & { path: (name: string) => string } {
  const made = mkdtempSync(join(tmpdir(), 'ibverbs-capture-'))
  return {
    path: (name) => join(made, name),
    [Symbol.dispose]: () => rmSync(made, { recursive: true, force: true }),
  }
}

export function tool(name: string, words: readonly string[]): string {
  return execFileSync(name, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

export interface Read {
  /** seconds.nanoseconds */
  time: string
  /** hexadecimal */
  bytes: string
  original: number
}

/** tshark's reading of a file, frame by frame. */
export function tshark(file: string): Read[] {
  const fields = ['-e', 'frame.time_epoch', '-e', 'frame.len']
  const lines = tool('tshark', ['-n', '-r', file, '-T', 'fields', ...fields])
    .split('\n')
    .slice(0, -1)
  const dump = JSON.parse(tool('tshark', ['-n', '-r', file, '-T', 'jsonraw', '-j', 'frame'])) as {
    _source: { layers: { frame_raw: [string] } }
  }[]
  return lines.map((line, i) => {
    const [time, length] = line.split('\t')
    return { time, bytes: dump[i]._source.layers.frame_raw[0], original: Number(length) }
  })
}

/** The library's reading, given the bytes in pieces of this size. */
export function parse(bytes: Uint8Array, piece = bytes.length): (Read & { frame: CapturedFrame })[] {
  const parser = new CaptureParser()
  const found: (Read & { frame: CapturedFrame })[] = []
  for (let at = 0; at < bytes.length; at += piece) {
    // A copy, overwritten before the next: the parser must not rely on earlier bytes.
    const chunk = Uint8Array.from(bytes.subarray(at, at + piece))
    parser.push(chunk)
    while (parser.next()) {
      const { offset, length, originalLength, seconds, nanoseconds, packetType, interfaceId } = parser.frame
      const data = Buffer.from(parser.bytes.subarray(offset, offset + length))
      found.push({
        time: `${seconds}.${String(nanoseconds).padStart(9, '0')}`,
        bytes: data.toString('hex'),
        original: originalLength,
        frame: { data, originalLength, seconds, nanoseconds, packetType, interfaceId },
      })
    }
  }
  parser.end()
  return found
}

export const plain = ({ time, bytes, original }: Read): Read => ({ time, bytes, original })
