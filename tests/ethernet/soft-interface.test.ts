/** The software ConnectX on an interface of this machine: its port follows the interface's link. */
import { open } from 'ibverbs'
import { softConnectX } from 'ibverbs/soft'
import { afterEach, expect, test } from 'vitest'
import { ip, type VethPair, vethPair } from '../beds/veth.js'

const limit = 20_000
let wire: VethPair
let close = () => {}
afterEach(() => {
  close()
  wire.remove()
})

function onInterface(name: string) {
  const devices = softConnectX({ wire: `interface:${name}` })
  close = () => devices.close()
}

test('the link goes down, up, and for good: events and states', async () => {
  wire = vethPair()
  onInterface(wire.a)
  const context = open('mlx5_soft0')
  const signal = AbortSignal.timeout(limit)
  expect(context.queryPort(1)).toMatchObject({ state: 'ACTIVE', physicalState: 'LINK_UP', activeMtu: 1024 })
  for (const [verb, end, type, state, physicalState] of [
    ['down', wire.b, 'PORT_ERR', 'DOWN', 'DISABLED'],
    ['up', wire.b, 'PORT_ACTIVE', 'ACTIVE', 'LINK_UP'],
    ['down', wire.a, 'PORT_ERR', 'DOWN', 'DISABLED'],
    ['up', wire.a, 'PORT_ACTIVE', 'ACTIVE', 'LINK_UP'],
  ] as const) {
    const event = context.nextEvent({ signal })
    ip('link', 'set', end, verb)
    expect(await event).toEqual({ type, port: 1 })
    expect(context.queryPort(1)).toMatchObject({ state, physicalState })
  }
  const event = context.nextEvent({ signal })
  ip('link', 'del', wire.b)
  expect(await event).toEqual({ type: 'PORT_ERR', port: 1 })
  expect(context.queryPort(1).state).toBe('DOWN')
  context.close()
})

test('a change while no context is open raises no event, but the port shows it', async () => {
  wire = vethPair()
  onInterface(wire.a)
  ip('link', 'set', wire.a, 'down')
  ip('link', 'set', wire.a, 'mtu', '9000')
  const context = open('mlx5_soft0')
  expect(context.queryPort(1)).toMatchObject({ state: 'DOWN', activeMtu: 4096 })
  const event = context.nextEvent({ signal: AbortSignal.timeout(limit) })
  ip('link', 'set', wire.a, 'up')
  expect(await event).toEqual({ type: 'PORT_ACTIVE', port: 1 })
  context.close()
})
