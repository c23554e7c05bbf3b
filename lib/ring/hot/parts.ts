/** The hot ends of a ring, and what the hot files get: the only things that they use, besides the language itself. */

/** What consumer.cts and producer.cts get: a ring end, whose words and position the copy shares. */
export interface RingParts {
  ring: {
    readonly words: Uint32Array
    readonly position: Int32Array
    readonly mask: number
    readonly records: number
    readonly recordShift: number
    readonly producer: number
    readonly consumer: number
  }
  /** Whether plain loads and stores do for the hand-over. */
  plain: boolean
  /** Words of a descriptor, and the options bit of a frame that continues (lib/ring/ring.ts). */
  DescriptorRecord: { readonly addressHigh: number; readonly length: number; readonly options: number }
  DescriptorOption: { readonly continued: number }
}

/**
 * A consumer's end for hot code: one record is one frame, or a part of one. `at` names a record and means something to
 * this ring alone; `address`, `length` and `more` are asked of it, whatever the ring's records hold.
 */
export interface HotConsumer {
  /** How many records are ready; 0 when the producer's index is impossible. */
  available(): number
  /** Names the record that is `ahead` records after the next one. */
  at(ahead: number): number
  /** The place of its frame in the arena, in bytes, as an int32. */
  address(at: number): number
  /** Bytes of its frame, or of this part of it, which may exceed its place; negative where it cannot be true. */
  length(at: number): number
  /** Whether its frame continues in the next record. */
  more(at: number): boolean
  /** What else it tells of its frame: bits of FrameFlag. */
  flags(at: number): number
  /** Hands `count` records back to the producer. */
  consume(count: number): void
}

/** A producer's end for hot code, of a ring that takes free frames: each record holds an address. */
export interface HotFill {
  /** Writes the next record. */
  pushAddress(address: number): void
  /** Hands over every record written so far. */
  publish(): void
}

/** A producer's end for hot code, of a ring that takes frames to send. */
export interface HotTransmit {
  /** How far this end has come: a wrapping int32. */
  index(): number
  /** Writes the next descriptor: a frame in one piece, without options. */
  push(address: number, length: number): void
  /** Hands over every record written so far. */
  publish(): void
  /** Whether the other end has taken every record. */
  allTaken(): boolean
  /** How many more records fit, once the other end has taken every record. */
  room(): number
}

/** A producer's end for hot code, in AF_XDP's formats, which is either. */
export interface HotProducer extends HotFill, HotTransmit {}
