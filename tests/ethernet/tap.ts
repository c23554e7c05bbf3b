/** A TAP device: the frames that a device without offloads puts on the wire; and tshark's verdict on them. */

import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { execFileSync, spawn } from '../beds/child.js'
import { limit } from '../beds/limit.js'
import { ip } from '../beds/veth.js'
import { programPath } from './program.js'

const folder = mkdtempSync(join(tmpdir(), 'ibverbs-tap-'))
afterAll(() => rmSync(folder, { recursive: true }))
const program = join(folder, 'tap')
let count = 0

export interface Tap extends AsyncDisposable {
  readonly name: string
  /** Takes `count` frames that were sent through it, in order. */
  take(count: number): Promise<Uint8Array[]>
}

export async function openTap(): Promise<Tap> {
  if (count === 0) execFileSync('cc', ['-O1', '-o', program, programPath('tap.c')])
  const name = `t${process.pid.toString(36)}x${(count++).toString(36)}`
  const child = spawn(program, [name], { stdio: ['pipe', 'pipe', 'inherit'] })
  const events = new EventEmitter()
  const frames: Uint8Array[] = []
  let buffer = Buffer.alloc(0)
  let there = false
  child.stdout.on('data', (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk])
    while (buffer.length >= 4 && buffer.length >= 4 + buffer.readUInt32LE()) {
      const end = 4 + buffer.readUInt32LE()
      if (there) frames.push(Uint8Array.from(buffer.subarray(4, end)))
      there = true
      buffer = buffer.subarray(end)
    }
    events.emit('frame')
  })
  await once(events, 'frame')
  writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1')
  ip('link', 'set', name, 'up')
  return {
    name,
    async take(wanted) {
      const signal = AbortSignal.timeout(limit)
      while (frames.length < wanted) await once(events, 'frame', { signal })
      return frames.splice(0, wanted)
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end()
      await once(child, 'exit')
    },
  }
}

/** tshark's fields of each frame, its checksums verified (status 1: good). */
export function dissect(frames: Uint8Array[], ...fields: string[]): string[][] {
  // pcap: magic, version 2.4, two zeros, longest frame, Ethernet
  const parts: Uint8Array[] = [
    new Uint8Array(Uint32Array.of(0xa1b2c3d4, 0x0004_0002, 0, 0, 2 ** 18, 1).buffer),
  ]
  for (const frame of frames) {
    parts.push(new Uint8Array(Uint32Array.of(0, 0, frame.length, frame.length).buffer), frame)
  }
  const file = join(folder, 'frames.pcap')
  writeFileSync(file, Buffer.concat(parts))
  const checked = ['ip', 'udp', 'tcp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`])
  const wanted = fields.flatMap((field) => ['-e', field])
  const words = ['-n', '-r', file, ...checked, '-T', 'fields', '-E', 'occurrence=f', ...wanted]
  const lines = execFileSync('tshark', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  return lines
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'))
}
