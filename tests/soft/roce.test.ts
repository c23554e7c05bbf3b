// The RDMA transports of the software ConnectX without Node: C++ tests that step them by hand, built here and run one
// by one; and tshark's reading of their packets.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { execFileSync, spawnSync } from '../beds/child.js'
import { dissect } from '../headers/tshark.js'
import { buildEngine } from './engine/build.js'
import { testSuites } from './engine/suites.js'

const program = testSuites(join(import.meta.dirname, 'roce'), 'roce_tests')

test.runIf(process.env.IBVERBS_LONG === '1')('all of them under sanitizers', { timeout: 900_000 }, () => {
  const options = ['-DENGINE_SANITIZE=ON', '-DCMAKE_BUILD_TYPE=RelWithDebInfo']
  const sanitized = buildEngine('roce_tests', { folder: 'engine-asan', options })
  const run = spawnSync(sanitized, [], { encoding: 'utf8', timeout: 600_000 })
  expect(run.stderr).toBe('')
  expect(run.stdout.trim().split('\n')).toHaveLength(program.suites.flatMap(({ tests }) => tests).length)
})

describe('tshark', () => {
  /** The packets of tests/soft/roce/capture_test.cc, as tshark reads them. */
  function capture() {
    const folder = mkdtempSync(join(tmpdir(), 'ibverbs-roce-'))
    try {
      const file = join(folder, 'frames')
      execFileSync(program.path, ['every_operation_on_the_wire'], {
        env: { ...process.env, ROCE_FRAMES: file },
      })
      const [first, ...frames] = readFileSync(file, 'utf8').trim().split('\n')
      const [address, key] = first.split(' ')
      const rows = dissect(
        frames.map((line) => Buffer.from(line, 'hex')),
        [
          'frame.protocols',
          'infiniband.bth.opcode',
          'infiniband.bth.se',
          'infiniband.bth.padcnt',
          'infiniband.bth.destqp',
          'infiniband.bth.a',
          'infiniband.bth.psn',
          'infiniband.reth.va',
          'infiniband.reth.r_key',
          'infiniband.reth.dmalen',
          'infiniband.aeth.syndrome',
          'infiniband.aeth.msn',
          'infiniband.atomicacketh.origremdt',
          'infiniband.immdt',
          'infiniband.ieth',
          'infiniband.deth.q_key',
          'infiniband.deth.srcqp',
          'infiniband.invariant.crc',
          '_ws.malformed',
        ],
      )
      return { address: BigInt(`0x${address}`), key: Number(`0x${key}`), rows, frames }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  test('decodes every packet as complete RoCEv2, with our ICRC at its end', () => {
    const { rows, frames } = capture()
    expect(rows.length).toBeGreaterThan(25)
    rows.forEach((row, i) => {
      expect(row['frame.protocols']).toMatch(/^eth:ethertype:ipv?6?:udp:infiniband/)
      expect(row['_ws.malformed']).toBe('')
      expect(Number(row['infiniband.invariant.crc'])).toBe(Number(`0x${frames[i].slice(-8)}`))
    })
  })

  test('reads the fields that were sent', () => {
    const { address, key, rows } = capture()
    const hex = (value: string | bigint | number) => `0x${BigInt(value || 0).toString(16)}`
    // Opcode, PSN, then the other fields that the packet has.
    const lines = rows.map((row) => {
      const shown = [
        ['se', row['infiniband.bth.se'] === '1' ? 1 : ''],
        ['pad', row['infiniband.bth.padcnt'] === '0' ? '' : row['infiniband.bth.padcnt']],
        ['ack', row['infiniband.bth.a'] === '1' ? 1 : ''],
        ['length', row['infiniband.reth.dmalen']],
        ['syndrome', row['infiniband.aeth.syndrome'] && hex(row['infiniband.aeth.syndrome'])],
        ['msn', row['infiniband.aeth.msn']],
        ['was', row['infiniband.atomicacketh.origremdt'] && hex(row['infiniband.atomicacketh.origremdt'])],
        ['immediate', row['infiniband.immdt'].split(',')[0]],
        ['invalidate', row['infiniband.ieth'].split(',')[0]],
        ['qkey', row['infiniband.deth.q_key'] && hex(row['infiniband.deth.q_key'])],
        ['from', row['infiniband.deth.srcqp'] && hex(row['infiniband.deth.srcqp'])],
      ].filter(([, value]) => value !== '')
      const opcode = Number(row['infiniband.bth.opcode']).toString(16).padStart(2, '0')
      const psn = Number(row['infiniband.bth.psn']).toString(16).padStart(6, '0')
      return [opcode, psn, ...shown.map(([name, value]) => `${name}=${value}`)].join(' ')
    })
    expect(lines).toEqual([
      '00 fffffd', // SEND of 1030 bytes
      '02 fffffe pad=2 ack=1',
      '11 fffffe syndrome=0x1f msn=1',
      '05 ffffff se=1 pad=3 ack=1 immediate=11223344',
      '11 ffffff syndrome=0x1f msn=2',
      '06 000000 ack=1 length=1030', // WRITE: every 32nd PSN requests an acknowledgement
      '08 000001 pad=2 ack=1',
      '11 000001 syndrome=0x1f msn=3', // one for both
      '0b 000002 pad=3 ack=1 length=5 immediate=55667788',
      '11 000002 syndrome=0x1f msn=4',
      '0c 000003 ack=1 length=1030', // READ: two response packets
      '0d 000003 syndrome=0x1f msn=5',
      '0f 000004 pad=2 syndrome=0x1f msn=5',
      '13 000005 ack=1', // CMP_SWAP of a differing value; then FETCH_ADD
      '12 000005 syndrome=0x1f msn=6 was=0xf2ebe4ddd6cfc8c1',
      '14 000006 ack=1',
      '12 000006 syndrome=0x1f msn=7 was=0xf2ebe4ddd6cfc8c1',
      '17 000007 ack=1 invalidate=00abcd00', // which fails: no response
      '04 fffffd ack=1',
      '11 fffffd syndrome=0x21 msn=0', // not ready: 10 µs
      '04 fffffd ack=1',
      '11 fffffd syndrome=0x1f msn=1',
      '00 fffffe', // lost
      '02 ffffff ack=1',
      '11 fffffe syndrome=0x60 msn=1', // PSN sequence error
      '00 fffffe',
      '02 ffffff ack=1',
      '11 ffffff syndrome=0x1f msn=2',
      '24 fffffd', // UC
      '64 fffffd qkey=0x1234567 from=0x40', // UD
    ])
    for (const row of rows) {
      if (row['infiniband.reth.r_key'] === '') continue
      expect(Number(row['infiniband.reth.r_key'])).toBe(key)
      const offset = BigInt(row['infiniband.reth.va']) - address
      expect(offset).toBe(/^(19|20)$/.test(row['infiniband.bth.opcode']) ? 64n : 0n)
    }
    expect(rows.map((row) => Number(row['infiniband.bth.destqp']))).toEqual(
      lines.map((line) => (/^(11|12|0d|0f)/.test(line) ? 0x40 : 0x41)),
    )
  })
})
