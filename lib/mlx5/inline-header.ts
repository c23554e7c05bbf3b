import { idOf } from '../handle.js'
import { native } from '../native.js'
import { Context } from '../verbs/context.js'

/**
 * Bytes of each frame that a send request must hold itself: 18, or 0 where the device reads frames in place. The kernel tells
 * libmlx5 (eth_min_inline of mlx5_ib_alloc_ucontext_resp), and mlx5dv does not tell anybody: it is read from a request that
 * libmlx5 writes, and that is never sent.
 */
export function inlineHeaderBytes(context: Context): number {
  return native.mlx5.inlineHeaderBytes(idOf('context', context, Context))
}
