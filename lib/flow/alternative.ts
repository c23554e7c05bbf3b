/**
 * Rules in their normal form, which is what the compilers read: a list of alternatives, each a list of comparisons that
 * must all hold.
 */

/** What an offset counts from. */
export type Layer = 'frame' | 'network' | 'transport'

/** A big-endian number of the frame: (number & mask) from `low` to `high`, all unsigned. */
export interface Comparison {
  layer: Layer
  /** bytes from the layer's beginning */
  offset: number
  size: 1 | 2 | 4
  mask: number
  low: number
  high: number
  /** what the user wrote, to name in an error */
  field: string
}

/** Frames that have all of this. */
export interface Alternative {
  vlan: { id: number | 'none'; field: string } | undefined
  /** of the outer tag, in the frame or taken out: one of {@link tagTypes} */
  tag: { type: number; field: string } | undefined
  /** behind VLAN tags */
  etherType: number | undefined
  /** of the IP header, which must be whole but for its options; needed for comparisons in the transport layer */
  version: 4 | 6 | undefined
  comparisons: readonly Comparison[]
}

/** Bytes of an Ethernet header and of a VLAN tag. */
export const ethernetHeader = 14
export const vlanTag = 4
/** Tags that are passed over. */
export const mostTags = 2
/** EtherTypes that announce a tag: those of headers/vlan.ts. */
export const tagTypes = [0x8100, 0x88a8, 0x9100] as const
/** Stands for "no tag" where a VLAN id is held in a number. */
export const noVlan = 0xffff

/** How many bytes of a layer an alternative needs: 0 when it does not look there. */
export function extent({ version, comparisons }: Alternative, layer: Layer): number {
  const header = layer === 'network' && version !== undefined ? (version === 4 ? 20 : 40) : 0
  return comparisons
    .filter((comparison) => comparison.layer === layer)
    .reduce((most, { offset, size }) => Math.max(most, offset + size), header)
}

/** The mask that leaves a number of this size as it is. */
export function fullMask(size: 1 | 2 | 4): number {
  return 2 ** (8 * size) - 1
}

/** Matches every frame: what comes after it cannot matter. */
export function isEverything(alternative: Alternative): boolean {
  const { vlan, tag, etherType, version, comparisons } = alternative
  return [vlan, tag, etherType, version].every((each) => each === undefined) && comparisons.length === 0
}

/** Of frames that a list matches (every frame: undefined), those with this EtherType; as a list, too. */
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
