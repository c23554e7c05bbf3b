import { type FramePool, tableOf } from './frames.js'
import type { ArenaFrames } from './native.js'

/** The pool as the binding takes it. */
export function arenaFramesOf(pool: FramePool): ArenaFrames {
  const { arena, frameSize, headroom } = pool
  return { arena: arena.bytes, frames: tableOf(pool).records, frameSize, headroom }
}
