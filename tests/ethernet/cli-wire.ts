/** What the tests of the command line's input and output need: a wire, a FIFO, and a capture to send. */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PacketQueue } from 'ibverbs/ethernet'
import { afterEach, beforeEach } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { type VethPair, vethPair } from '../beds/veth.js'
import { capture } from '../capture/filters.js'
import { frames } from '../cli/frames.js'

/** Untagged frames: the kernel would strip a tag. */
export const list = Object.values(frames).filter((frame) => frame.readUInt16BE(12) !== 0x8100)
/** A capture of them. */
export const input = capture(list.map((bytes) => ({ bytes, original: bytes.length })))

interface Wire {
  veth: VethPair
  /** On the end `a`; the commands use `b`. */
  queue: PacketQueue
  folder: string
  /** A FIFO in the folder. */
  fifo: string
}

/** A wire and a folder for each test, and files that are closed after it. */
export function useCliWire() {
  const wire = {} as Wire
  const open = new Set<number>()

  beforeEach(() => {
    wire.veth = vethPair()
    wire.queue = PacketQueue.open(wire.veth.a, { promiscuous: true })
    wire.folder = mkdtempSync(join(tmpdir(), 'ibverbs-cli-'))
    wire.fifo = join(wire.folder, 'fifo')
    execFileSync('mkfifo', [wire.fifo])
  })

  afterEach(() => {
    for (const file of open) closeSync(file)
    open.clear()
    wire.queue.close()
    wire.veth.remove()
    rmSync(wire.folder, { recursive: true })
  })

  return Object.assign(wire, {
    opened(path: string, flags: number): number {
      const file = openSync(path, flags)
      open.add(file)
      return file
    },
    close(file: number): void {
      open.delete(file)
      closeSync(file)
    },
  })
}

/** Waits until a condition of another process holds. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(10)
}
