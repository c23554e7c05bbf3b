/**
 * The vocabulary in which this folder says where a field of a ring's entry lies. A driver takes its offsets from here and the
 * decoder its names, so that the two cannot differ. All fields are big-endian.
 */

/** How a field's value reads. */
export type Reading =
  | { readonly kind: 'decimal' }
  | { readonly kind: 'hex' }
  | { readonly kind: 'bytes' }
  | { readonly kind: 'mac' }
  | { readonly kind: 'gid' }
  | { readonly kind: 'name'; readonly names: Readonly<Record<string, number>> }
  | { readonly kind: 'flags'; readonly flags: Readonly<Record<string, number>> }

/** A field: bits of a big-endian word. */
export interface FieldLayout {
  /** Bytes from the start of its structure to the word that holds it. */
  readonly offset: number
  /** Bytes of that word: 1, 2, 4 or 8, unless it is no number. */
  readonly length: number
  /** The highest and the lowest bit, counted from the word's least significant one. */
  readonly high: number
  readonly low: number
  /** The member of the structure in C. */
  readonly member: string
  readonly reading: Reading
}

/** A structure as a header or a manual defines it. */
export interface StructLayout<Name extends string = string> {
  /** What a manual calls it, such as 'control segment'. */
  readonly title: string
  /** Its name in C. */
  readonly struct: string
  /** Where it is defined. */
  readonly source: Source
  /** Bytes. */
  readonly length: number
  readonly fields: Readonly<Record<Name, FieldLayout>>
}

/** A file that defines structures, and where it can be read. */
export interface Source {
  readonly file: string
  readonly url: string
}

/** libmlx5's public header. */
export const mlx5dv: Source = {
  file: 'infiniband/mlx5dv.h',
  url: 'https://github.com/linux-rdma/rdma-core/blob/v44.0/providers/mlx5/mlx5dv.h',
}
/** Work queue elements as Linux has them: it names what mlx5dv.h reserves. */
export const kernelQp: Source = {
  file: 'include/linux/mlx5/qp.h',
  url: 'https://github.com/torvalds/linux/blob/v6.1/include/linux/mlx5/qp.h',
}
/** Completions as Linux has them: it names what mlx5dv.h reserves. */
export const kernelDevice: Source = {
  file: 'include/linux/mlx5/device.h',
  url: 'https://github.com/torvalds/linux/blob/v6.1/include/linux/mlx5/device.h',
}
/** Enhanced multi-packet sends and mini completions, which neither mlx5dv.h nor a public manual has. */
export const dpdkPrm: Source = {
  file: 'drivers/common/mlx5/mlx5_prm.h',
  url: 'https://github.com/DPDK/dpdk/blob/v22.11/drivers/common/mlx5/mlx5_prm.h',
}
export const decimal: Reading = { kind: 'decimal' }
export const hex: Reading = { kind: 'hex' }
export const bytes: Reading = { kind: 'bytes' }
export const mac: Reading = { kind: 'mac' }
export const gid: Reading = { kind: 'gid' }
export const named = (names: Readonly<Record<string, number>>): Reading => ({ kind: 'name', names })
export const flags = (flags: Readonly<Record<string, number>>): Reading => ({ kind: 'flags', flags })

/** A whole word, or bytes that are no number. */
export function word(offset: number, length: number, member: string, reading: Reading): FieldLayout {
  return { offset, length, high: length * 8 - 1, low: 0, member, reading }
}

/** Some bits of a word. */
export function bits(
  offset: number,
  length: number,
  [high, low]: readonly [number, number],
  member: string,
  reading: Reading,
): FieldLayout {
  return { offset, length, high, low, member, reading }
}
