/** A million writes whose last byte is polled, and as many messages, reads, datagrams and results together. */
import { beforeAll, expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
import { buildEngine } from './engine/build.js'

let program: string

beforeAll(() => {
  program = buildEngine('roce_tests')
}, 300_000)

test.each(['a_write', 'a_message', 'a_read', 'a_datagram', 'an_atomic_operations_result'])(
  'who polls the last byte of %s finds all of it',
  (what) => {
    const name = `who_polls_the_last_byte_of_${what}_finds_all_of_it`
    const env = { ...process.env, POLLING_ROUNDS: '1000000' }
    const { stdout, stderr, signal } = spawnSync(program, [name], { encoding: 'utf8', env, timeout: 900_000 })
    expect({ stdout, stderr, signal }).toEqual({ stdout: `ok ${name}\n`, stderr: '', signal: null })
  },
  1_000_000,
)
