// The resources of a process: descriptors, threads, shared memory and open handles.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { native } from '../../../dist/native.js'

/**
 * The event loop closes handles asynchronously, and V8 frees memory after a collection: take a few turns of both, and
 * more, within reason, until the counts are down to `before`. The time that they take does not matter; a leak stays.
 */
export async function census(before) {
  for (let more = 0; ; more++) {
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setImmediate(resolve))
      globalThis.gc?.()
    }
    const now = count()
    if (!before || more === 50 || isDeepStrictEqual(now, before)) return now
  }
}

function count() {
  const sockets = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
    } catch {
      return false // the descriptor of this very readdir
    }
  })
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    sockets: sockets.length,
    threads: readdirSync('/proc/self/task').length,
    handles: native.handleCount(),
    sharedMebibytes: Math.round(process.memoryUsage().arrayBuffers / 2 ** 20),
  }
}

/** The number of mappings, and their total size in MiB. */
export function mappings() {
  const lines = readFileSync('/proc/self/maps', 'latin1').trim().split('\n')
  const bytes = lines.reduce((sum, line) => {
    const [from, to] = line.split(' ')[0].split('-')
    return sum + Number(BigInt(`0x${to}`) - BigInt(`0x${from}`))
  }, 0)
  return { count: lines.length, mebibytes: bytes / 2 ** 20 }
}
