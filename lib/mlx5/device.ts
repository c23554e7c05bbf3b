import { native } from '../native.js'
import type { Context } from '../verbs/context.js'
import { assertSupported } from './supported.js'

/** What a ConnectX can do (mlx5dv_query_device(3)). What the device or libmlx5 does not tell is undefined. */
export interface Mlx5Device {
  /** Version of the queues' formats. */
  version: number
  /** MLX5DV_CONTEXT_FLAGS_*, by name. */
  flags: Mlx5Flag[]
  /** Compressed completions: how many a title stands for at most, and the formats of mini completions. */
  compression?: { maxCompletions: number; formats: CompressionFormatName[] }
  /** Software parsing: MLX5DV_SW_PARSING*, as bits, and the types of queue pairs, as bits of ibv_qp_type. */
  softwareParsing?: { offloads: number; queuePairTypes: number }
  /** Striding receive queues: the least and largest logarithms of a stride's bytes, and of strides in a request. */
  striding?: {
    minLogStrideBytes: number
    maxLogStrideBytes: number
    minLogStrides: number
    maxLogStrides: number
    queuePairTypes: number
  }
  /** MLX5DV_RAW_PACKET_CAP_TUNNELED_OFFLOAD_*, as bits. */
  tunnelOffloads?: number
  /** Registers that can be had beside the context's own. */
  maxDynamicRegisters?: number
  /** {@link clockInfo} is good for so many nanoseconds. */
  maxClockInfoUpdate?: number
  /** Ports that are bound together; 0 or 1: none. */
  lagPorts?: number
}

const flags = {
  CQE_V1: 1 << 0,
  MPW_ALLOWED: 1 << 2,
  ENHANCED_MPW: 1 << 3,
  CQE_128B_COMP: 1 << 4,
  CQE_128B_PAD: 1 << 5,
  PACKET_BASED_CREDIT_MODE: 1 << 6,
  REAL_TIME_TS: 1 << 7,
} as const
/** Name of one of MLX5DV_CONTEXT_FLAGS_*. */
export type Mlx5Flag = keyof typeof flags

/** What a mini completion tells beside its byte count, by the name of MLX5DV_CQE_RES_FORMAT_*. */
export type CompressionFormatName = 'HASH' | 'CSUM' | 'CSUM_STRIDX'
/** MLX5DV_CQE_RES_FORMAT_* @internal */
export const CompressionFormat: Readonly<Record<CompressionFormatName, number>> = {
  HASH: 1 << 0,
  CSUM: 1 << 1,
  CSUM_STRIDX: 1 << 2,
}
/** @internal */
export const compressionFormats = Object.keys(CompressionFormat) as CompressionFormatName[]

const names = <Name extends string>(bits: number, all: Readonly<Record<Name, number>>): Name[] =>
  (Object.keys(all) as Name[]).filter((name) => (bits & all[name]) !== 0)

/**
 * What a ConnectX can do (mlx5dv_query_device(3)).
 *
 * @throws VerbsError ENOTSUP for a device that is none
 */
export function queryDevice(context: Context): Mlx5Device {
  const { flags: bits, compression, ...rest } = native.mlx5.queryDevice(assertSupported(context))
  return {
    ...rest,
    flags: names(bits, flags),
    ...(compression && {
      compression: {
        maxCompletions: compression.maxCompletions,
        formats: names(compression.formats, CompressionFormat),
      },
    }),
  }
}
