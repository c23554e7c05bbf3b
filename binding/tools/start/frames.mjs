// The part of `npm start` on a veth pair: runs in a network namespace of its own, where the pair goes with this process.

import { execFileSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { PacketQueue } from 'ibverbs/ethernet'
import { batch, rate, roundTrips } from './exchange.mjs'

function ip(...words) {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] })
}

function assertOwnNamespace() {
  let machine
  try {
    machine = readlinkSync('/proc/1/ns/net')
  } catch {
    return // not root of the machine: then this namespace is ours, or making the veth pair fails
  }
  if (machine === readlinkSync('/proc/self/ns/net')) throw new Error('run this through npm start')
}

assertOwnNamespace()
ip('link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right')
for (const end of ['left', 'right']) ip('link', 'set', end, 'addrgenmode', 'none', 'up')

const left = PacketQueue.open('left', { batch })
const right = PacketQueue.open('right', { batch })
rate(left, right)
roundTrips(left, right, 20_000)
left.close()
right.close()
