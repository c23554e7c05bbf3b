import { integer, type Names, object, rangeError, typeError } from '../../argument.js'
import { idOf } from '../../handle.js'
import { MemoryRegion } from '../memory-region.js'
import type { Posting } from './posting.js'
import { elementWords } from './records.js'
import { checkStretch, longestWords, mostOfElement, rest, writeElement } from './ring.js'

/** A range of a memory region: one element of a scatter/gather list. */
export interface ScatterElement {
  /** The region. */
  memory: MemoryRegion
  /** Offset in the region, in bytes; 0 by default. */
  offset?: number
  /** Length in bytes; to the region's end by default. */
  length?: number
}
const scatterElementNames = {
  memory: true,
  offset: true,
  length: true,
} as const satisfies Names<ScatterElement>

/** Where the bytes of a request lie: in a region, of which each post names a range, or in a fixed list of ranges. */
export interface RequestMemory {
  /** The region of which each post names a range; left out where there are `elements`, or no bytes. */
  memory?: MemoryRegion
  /** Instead of `memory`: a scatter/gather list, the same at each post. */
  elements?: ScatterElement[]
}
export const requestMemoryNames = { memory: true, elements: true } as const satisfies Names<RequestMemory>

/** A request's scatter/gather list, ready to be copied into a record. @internal */
export class Elements {
  /** The region of which posts name a range; undefined for a fixed list, or for no bytes. */
  readonly memory: MemoryRegion | undefined
  /** Its handle. */
  readonly region: number
  /** Its size in bytes; 0 without a region. */
  readonly size: number
  /** The fixed list, as words of a record. */
  readonly fixed: Uint32Array
  /** Bytes of the fixed list in all. */
  readonly total: number
  /** Regions in use, so that they live as long as the prepared request. */
  readonly held: readonly MemoryRegion[]

  /**
   * @param writer the request for which the device writes to the elements, such as 'a receive'; undefined if it only
   *   reads
   */
  constructor(
    name: string,
    options: RequestMemory,
    { domain, maxElements, longest }: Posting,
    writer?: string,
  ) {
    const { memory, elements } = options
    if (memory !== undefined && elements !== undefined) {
      throw typeError(`${name}.elements`, 'left out where there is a memory', elements)
    }
    this.memory = memory
    this.region = memory === undefined ? 0 : regionOf(`${name}.memory`, memory, domain, writer)
    this.size = memory?.length ?? 0
    const list = elements ?? []
    if (!Array.isArray(list)) throw typeError(`${name}.elements`, 'an array', elements)
    integer(`${name}.elements.length`, list.length, 0, maxElements)
    this.fixed = new Uint32Array(list.length * elementWords)
    let total = 0
    list.forEach((element, i) => {
      object(`${name}.elements[${i}]`, element, 'an object', scatterElementNames)
      const region = regionOf(`${name}.elements[${i}].memory`, element.memory, domain, writer)
      const offset = element.offset ?? 0
      const length = element.length ?? rest(element.memory.length, offset)
      checkStretch(offset, length, element.memory.length, mostOfElement, `${name}.elements[${i}].`)
      writeElement(this.fixed, i * elementWords, region, offset, length)
      total += length
    })
    if (total > longest)
      throw rangeError(`${name}.elements`, `of at most ${longest} bytes${longestWords}`, total)
    this.total = total
    this.held = memory ? [memory] : list.map((element) => element.memory)
  }

  /** How many elements a record has. */
  get count(): number {
    return this.memory ? 1 : this.fixed.length / elementWords
  }
}

function regionOf(name: string, memory: MemoryRegion, domain: object, writer: string | undefined): number {
  const region = idOf(name, memory, MemoryRegion)
  if (memory.domain !== domain)
    throw typeError(name, "a region of the queue pair's own protection domain", memory)
  if (writer && !memory.access.includes('LOCAL_WRITE')) {
    throw typeError(
      name,
      `a region that was registered with LOCAL_WRITE, since ${writer} writes to it`,
      memory.access,
    )
  }
  return region
}
