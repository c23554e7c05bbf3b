import { verbsError } from '../errors.js'
import { idOf } from '../handle.js'
import { native } from '../native.js'
import { Context } from '../verbs/context.js'

/**
 * Whether a device is a ConnectX that direct verbs can drive (mlx5dv_is_supported(3)): a real one or the software ConnectX,
 * with libmlx5 installed.
 */
export function isSupported(context: Context): boolean {
  return native.mlx5.isSupported(idOf('context', context, Context))
}

/** @throws VerbsError ENOTSUP that says why not */
export function assertSupported(context: Context): number {
  const handle = idOf('context', context, Context)
  if (!native.mlx5.isSupported(handle)) {
    const why = native.mlx5.unavailable()
    throw verbsError(
      'ENOTSUP',
      'mlx5dv_is_supported',
      why === null ? `${context.name} is no ConnectX: direct verbs are mlx5's own` : why,
    )
  }
  return handle
}
