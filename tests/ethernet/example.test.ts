/** docs/examples/raw-frame.mjs and capture.mjs, as a user runs them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PacketQueue, queryInterface } from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { ip, vethPair } from '../beds/veth.js'
import { tshark } from '../capture/tools.js'
import { frames } from '../cli/frames.js'
import { Running } from '../cli/run.js'
import { command } from './program.js'
import { transmit } from './traffic.js'

const examplePath = (name: string) => fileURLToPath(new URL(`../../docs/examples/${name}`, import.meta.url))
const example = examplePath('raw-frame.mjs')

test('sends a frame and prints it', async () => {
  using veth = vethPair()
  const { mac } = queryInterface(veth.a)
  expect(await command(process.execPath, example, veth.a, veth.b)).toEqual({
    code: 0,
    output: `35 bytes from ${mac} on ${veth.b}: hello from JavaScript\n`,
  })
})

test('lists the interfaces', async () => {
  using veth = vethPair()
  const { code, output } = await command(process.execPath, example, 'nosuch', veth.b)
  expect(code).toBe(1)
  expect(output).toContain('"nosuch" is neither an interface (there are: ')
  expect(output).toContain(veth.a)
})

test('capture.mjs writes the frames that pass, for Wireshark', async () => {
  using veth = vethPair()
  using queue = PacketQueue.open(veth.a)
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-example-'))
  try {
    const file = join(folder, 'frames.pcapng')
    const capturing = new Running(process.execPath, [examplePath('capture.mjs'), veth.b, file, '1'])
    // A promiscuous listener exists: no later frame is missed.
    while (!/promiscuity [1-9]/.test(ip('-d', 'link', 'show', veth.b))) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    transmit(queue, frames['TCP data'], frames['VLAN-tagged UDP'])
    expect(await capturing.finished).toMatchObject({
      code: 0,
      stdout: '2 frames received, 0 dropped\n',
      stderr: '',
    })
    expect(tshark(file).map(({ bytes }) => bytes)).toEqual(
      [frames['TCP data'], frames['VLAN-tagged UDP']].map((frame) => frame.toString('hex')),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})
