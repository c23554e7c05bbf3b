/** Common filters, frames for them, and tcpdump's results for both. */

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { PcapEncoder } from 'ibverbs/ethernet'
import { spawn } from '../beds/child.js'
import { ethernet, ipv4, ipv6, frames as kinds, tcp, udp } from '../cli/frames.js'
import { parse } from './tools.js'

const path = (name: string): string => fileURLToPath(new URL(`filters/${name}`, import.meta.url))

/** 116 expressions, nine of which tcpdump rejects. */
export const expressions: readonly string[] = readFileSync(path('expressions.txt'), 'utf8').trim().split('\n')

/** Expressions for what the list lacks, and for likely errors in the translation of BPF. */
export const more: readonly string[] = [
  ...[
    'src or dst host 192.168.1.5',
    'src and dst 10.0.0.1',
    'arp net 10.1',
    'dst net ff02::/16',
    'net 0.0.0.0/0',
  ],
  ...[
    'port 80 or 443',
    'udp src portrange 443-5005',
    'src port 80 and dst port 81',
    'ether dst 02-00-00-00-00-07',
  ],
  ...[
    'ether[0:4] = 0x02000000',
    'ip[2:2] > 40',
    'len - 14 > ip[2:2]',
    'ip[0] / 5 = 13',
    'ether[1] * 3 % 7 = 2',
  ],
  ...[
    '(ip[0] << 2) & 0x3c = 20',
    'ip[9] >> 1 = 8',
    'ether[5] ^ ether[11] = 3',
    'ip[8] | 0x3f = 0x7f',
    '(-ip[9]) > 5',
  ],
  ...['ip[8] / ether[11] = 64', 'ether[0] % ether[10] >= 0', 'ether[ether[1] + 12:2] = 0x0800'],
  ...[
    'tcp[((tcp[12] & 0xf0) >> 2):2] = 0x6865',
    'udp[4:2] < 12 or icmp[0] = 8',
    'ether[4000] = 0',
    'ether[59] >= 0',
  ],
  ...[
    'vlan 5 and ip',
    'vlan and vlan',
    'not vlan and port 53',
    'ip and not (port 53 or port 80 or host 10.0.0.1)',
  ],
]

const arp = (from: string, to: string) =>
  ethernet('0806', `0001 0800 06 04 0001 020000000001 ${from} 000000000000 ${to}`)
const text = (frame: Uint8Array) => Buffer.from(frame).toString('hex')

/** Frames, and their lengths on the wire. */
export const frames: readonly { bytes: Buffer; original: number }[] = [
  ...parse(readFileSync(path('kinds.pcap'))).map(({ frame }) => ({
    bytes: frame.data as Buffer,
    original: frame.originalLength,
  })),
  ...[
    ...Object.values(kinds),
    ...[53, 80, 443, 5000, 5005, 5011].flatMap((port) => [
      ethernet('0800', ipv4(17, udp(port, 4000, Buffer.alloc(4)))),
      ethernet('86dd', ipv6(17, udp(port, port + 1, Buffer.alloc(4)))),
    ]),
    ethernet('0800', ipv4(6, Buffer.concat([Buffer.from([0, 80, 0x13, 0x88]), tcp(2).subarray(4)]))),
    arp('0a010203', '0a000001'),
    arp('0a000002', 'c0a80105'),
    ...['ffffffffffff', '01005e000001', '333300000001', '020000000007'].map((to) =>
      Buffer.concat([Buffer.from(`${to}02000000000988b5`, 'hex'), Buffer.alloc(46)]),
    ),
  ].map((bytes) => ({ bytes, original: bytes.length })),
]

/** The frames as a pcap capture, numbered by their timestamps. */
export function capture(list: readonly { bytes: Buffer; original: number }[]): Buffer {
  const encoder = new PcapEncoder()
  for (const [i, { bytes, original }] of list.entries()) encoder.add(1 + i, 0, bytes, original)
  return Buffer.concat([encoder.header(), encoder.take()])
}

/** Numbers of a capture's matching frames, or tcpdump's error for the expression. */
export async function tcpdump(input: Buffer, expression: string): Promise<number[] | string> {
  const child = spawn('tcpdump', ['-r', '-', '-w', '-', expression])
  const out: Buffer[] = []
  let errors = ''
  child.stdout?.on('data', (part: Buffer) => out.push(part))
  child.stderr?.on('data', (part) => {
    errors += part
  })
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  const [code] = await once(child, 'close')
  if (code !== 0) return complaint(errors)
  return parse(Buffer.concat(out)).map(({ time }) => Number(time.split('.')[0]) - 1)
}

/** tcpdump's error message, without its name. */
export function complaint(stderr: string): string {
  const line = stderr.split('\n').find((each) => /^tcpdump: (?!data link type|listening)/.test(each))
  if (line === undefined) throw new Error(`tcpdump says nothing of the filter: ${stderr}`)
  return line.slice('tcpdump: '.length)
}

/** Applies a function to all items, a few processes at a time. */
export async function inBatches<T, R>(
  list: readonly T[],
  size: number,
  each: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < list.length; at += size) {
    results.push(...(await Promise.all(list.slice(at, at + size).map(each))))
  }
  return results
}

export const names = (numbers: number[] | string): string[] | string =>
  typeof numbers === 'string' ? numbers : numbers.map((i) => `${i}: ${text(frames[i].bytes)}`)
