/** A command reports a write error once. */
import { once } from 'node:events'
import { constants } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { spawn } from '../beds/child.js'
import { main, start } from '../cli/run.js'
import { list, until, useCliWire } from './cli-wire.js'
import { transmit } from './traffic.js'

const wire = useCliWire()

describe('a full disk', () => {
  const noSpace = 'ENOSPC: no space left on device, write'

  test.each([
    ['a capture', ['-w', '/dev/full', '-c', '1'], `/dev/full: ${noSpace}`],
    ['a capture of many', ['-w', '/dev/full'], `/dev/full: ${noSpace}`],
  ])('%s: told once, exit code 1', async (_, flags, complaint) => {
    const dumping = start(['dump', wire.veth.b, ...flags])
    await dumping.until(/^listening on /m)
    transmit(wire.queue, ...list)
    const { code, stderr } = await dumping.finished
    expect({ code, complaints: stderr.split('\n').filter((line) => line.startsWith('ibverbs')) }).toEqual({
      code: 1,
      complaints: [`ibverbs dump: ${complaint}`],
    })
    expect(stderr).toMatch(/^\d+ frames? captured, /m)
  })

  test.each([
    ['lines', []],
    ['lines, ended by -c', ['-c', '3']],
    ['a capture', ['-w', '-']],
    ['JSON', ['--json']],
  ])('%s to standard output: told once, exit code 1', async (_, flags) => {
    const full = wire.opened('/dev/full', constants.O_WRONLY)
    const child = spawn(process.execPath, [main, 'dump', wire.veth.b, ...flags], {
      stdio: ['ignore', full, 'pipe'],
    })
    let said = ''
    child.stderr?.on('data', (part) => {
      said += part
    })
    await until(() => said.includes('listening on'))
    transmit(wire.queue, ...list)
    const [code] = await once(child, 'close')
    expect({ code, complaints: said.split('\n').filter((line) => line.startsWith('ibverbs')) }).toEqual({
      code: 1,
      complaints: [`ibverbs dump: standard output: ${noSpace}`],
    })
  })

  test('a command that only prints', async () => {
    const full = wire.opened('/dev/full', constants.O_WRONLY)
    const child = spawn(process.execPath, [main, '--version'], { stdio: ['ignore', full, 'pipe'] })
    let said = ''
    child.stderr?.on('data', (part) => {
      said += part
    })
    const [code] = await once(child, 'close')
    expect({ code, said }).toEqual({ code: 1, said: `ibverbs: standard output: ${noSpace}\n` })
  })
})
