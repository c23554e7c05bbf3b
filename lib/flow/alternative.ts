/**
 * Rules in the normal form that the compilers read: a list of alternatives, each a list of comparisons that must all hold.
 */

/** The layer that an offset counts from. */
export type Layer = 'frame' | 'network' | 'transport'

/** Tests a big-endian number of the frame: (number & mask) lies in `low` to `high`, all unsigned. */
export interface Comparison {
  layer: Layer
  /** bytes from the layer's beginning */
  offset: number
  size: 1 | 2 | 4
  mask: number
  low: number
  high: number
  /** the field that the user wrote, for errors */
  field: string
}

/** Matches frames for which everything in it holds. */
export interface Alternative {
  vlan: { id: number | 'none'; field: string } | undefined
  /** the outer tag's, in the frame or stripped: one of {@link tagTypes} */
  tag: { type: number; field: string } | undefined
  /** behind VLAN tags */
  etherType: number | undefined
  /** of the IP header, which must be whole but for its options; comparisons in the transport layer need it */
  version: 4 | 6 | undefined
  comparisons: readonly Comparison[]
}

/** Bytes of an Ethernet header and of a VLAN tag. */
export const ethernetHeader = 14
export const vlanTag = 4
/** The most tags that a program skips. */
export const maxTags = 2
/** EtherTypes of VLAN tags: those of headers/vlan.ts. */
export const tagTypes = [0x8100, 0x88a8, 0x9100] as const
/** No VLAN tag, in place of a VLAN id. */
export const noVlan = 0xffff

/** How many bytes of a layer an alternative reads; 0: none. */
export function extent({ version, comparisons }: Alternative, layer: Layer): number {
  const header = layer === 'network' && version !== undefined ? (version === 4 ? 20 : 40) : 0
  return comparisons
    .filter((comparison) => comparison.layer === layer)
    .reduce((most, { offset, size }) => Math.max(most, offset + size), header)
}

/** The mask with all bits of this size set. */
export function fullMask(size: 1 | 2 | 4): number {
  return 2 ** (8 * size) - 1
}

/** Whether it matches every frame: no alternative after it matters. */
export function isEverything(alternative: Alternative): boolean {
  const { vlan, tag, etherType, version, comparisons } = alternative
  return [vlan, tag, etherType, version].every((each) => each === undefined) && comparisons.length === 0
}

/** The part of a list (undefined: every frame) that matches frames of this EtherType; again a list. */
export function ofType(
  alternatives: readonly Alternative[] | undefined,
  type: number,
  field: string,
): Alternative[] {
  const isTag = tagTypes.some((each) => each === type)
  const wanted = isTag ? { tag: { type, field } } : { etherType: type }
  return (alternatives ?? [everything])
    .filter(({ tag, etherType }) =>
      isTag ? tag === undefined || tag.type === type : etherType === undefined || etherType === type,
    )
    .map((each) => ({ ...each, ...wanted }))
}

const everything: Alternative = {
  vlan: undefined,
  tag: undefined,
  etherType: undefined,
  version: undefined,
  comparisons: [],
}
