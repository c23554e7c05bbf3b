/** tshark's reading of frames, independent of the library's. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PcapEncoder } from 'ibverbs/ethernet'
import { execFileSync } from '../beds/child.js'

const preferences = [
  ...['ip.check_checksum', 'udp.check_checksum', 'tcp.check_checksum'].map((name) => `${name}:TRUE`),
  ...['tcp.relative_sequence_numbers', 'ip.defragment', 'ipv6.defragment'].map((name) => `${name}:FALSE`),
]

/**
 * An object for each frame: the values of these fields as tshark prints them, several of one field separated by commas, none
 * as an empty string.
 */
export function dissect<const F extends string>(
  frames: readonly Uint8Array[],
  fields: readonly F[],
): Record<F, string>[] {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-tshark-'))
  try {
    const size = frames.reduce((total, frame) => total + frame.length + 16, 0)
    const buffer = new PcapEncoder({ snapLength: 65535, capacity: size })
    for (const frame of frames) if (!buffer.add(0, 0, frame)) throw new Error('the capture is too small')
    const file = join(folder, 'frames.pcap')
    writeFileSync(file, Buffer.concat([buffer.header(), buffer.take()]))
    const words = ['-n', '-r', file, '-T', 'fields', '-E', 'separator=/t', '-E', 'occurrence=a']
    for (const preference of preferences) words.push('-o', preference)
    for (const field of fields) words.push('-e', field)
    const lines = tshark(words).split('\n').slice(0, -1)
    if (lines.length !== frames.length) throw new Error(`${lines.length} lines for ${frames.length} frames`)
    return lines.map((line) => {
      const values = line.split('\t')
      return Object.fromEntries(fields.map((field, i) => [field, values[i]])) as Record<F, string>
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function tshark(words: string[]): string {
  try {
    return execFileSync('tshark', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new Error(
      'tshark is missing: apt-get install --no-install-recommends tshark (Fedora: dnf install wireshark-cli)',
    )
  }
}

/** A number as tshark prints it, decimal or hexadecimal; the first of several. NaN without one. */
export function number(text: string): number {
  return text === '' ? Number.NaN : Number(text.split(',')[0])
}

/** All fields of a row as numbers, for comparison as a whole. */
export function numbers<F extends string>(row: Record<F, string>): Record<F, number> {
  return Object.fromEntries(
    Object.entries(row).map(([field, text]) => [field, number(text as string)]),
  ) as Record<F, number>
}
