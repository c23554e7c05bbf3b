/** Names that rdma-core has added since the oldest version tested here (44), and a port too fast for its old speed field. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CompletionOpcode } from 'ibverbs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { linkRate } from '../../dist/cli/devices/report.js'
import { asyncEvent } from '../../dist/verbs/async-event.js'
import { AccessFlag, nameOf } from '../../dist/verbs/constants.js'
import { execFileSync } from '../beds/child.js'
import { node } from '../beds/process.js'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'newer-'))
  const source = join(import.meta.dirname, 'newer_libibverbs.c')
  const library = join(folder, 'libibverbs.so.1')
  execFileSync('cc', ['-shared', '-fPIC', '-Wall', '-Wextra', '-Werror', '-o', library, source])
})
afterAll(() => rmSync(folder, { recursive: true }))

// The values of libibverbs/verbs.h of rdma-core 65.
test('opcodes, access flags and events have their names', () => {
  expect([nameOf(CompletionOpcode, 8), nameOf(CompletionOpcode, 9)]).toEqual(['FLUSH', 'ATOMIC_WRITE'])
  expect([AccessFlag.FLUSH_GLOBAL, AccessFlag.FLUSH_PERSISTENT]).toEqual([0x100, 0x200])
  expect(asyncEvent(20, 1, () => undefined)).toEqual({ type: 'DEVICE_SPEED_CHANGE' })
  expect(asyncEvent(21, 1, () => undefined)).toEqual({ type: 'UNKNOWN_21' })
})

test('rates by the codes of speed and width', () => {
  expect([32, 64, 128, 256].map((speed) => linkRate(speed, 2))).toEqual([100, 200, 400, 800])
  expect([1, 2, 4, 8, 16].map((width) => linkRate(256, width))).toEqual([200, 800, 1600, 2400, 400])
  expect([linkRate(512, 2), linkRate(256, 3)]).toEqual([null, null])
})

test('an XDR port shows its rate where libibverbs knows it', async () => {
  const script = `
    import { open } from 'ibverbs'
    const context = open('newer0')
    const { activeSpeed, activeSpeedEx, activeWidth, activeMtu } = context.queryPort(1)
    console.log(JSON.stringify({ activeSpeed, activeSpeedEx, activeWidth, activeMtu }))
    context.close()`
  const { code, stdout, stderr } = await node(script, { env: { LD_LIBRARY_PATH: folder } })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(JSON.parse(stdout)).toEqual({
    activeSpeed: 128,
    activeSpeedEx: 256,
    activeWidth: 2,
    activeMtu: 4096,
  })
})
