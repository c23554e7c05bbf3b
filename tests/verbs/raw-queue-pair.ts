/**
 * Queue pairs whose shared words the tests write by hand: JavaScript can write anything into the memory that it shares
 * with the binding, from any thread, so the binding must check each record and each index by itself.
 */
import type { QueuePairType } from 'ibverbs'
import { native } from '../../dist/native.js'
import { Control, receiveWords, sendWords } from '../../dist/verbs/request/records.js'
import { type Side, type SideOptions, useRxe } from '../beds/rxe.js'

export const EINVAL = 22
export const EMSGSIZE = 90
export const flags = { signaled: 2 << 8, inline: 8 << 8 }

export interface Raw extends Side {
  handle: number
  /** Submits what the rings hold; returns how many requests the device accepted. */
  bell(): number
  control: Uint32Array
  sends: RawRing
  receives: RawRing
}

/** A ring of requests, without the one in lib/ that believes to be its only producer. */
export class RawRing {
  constructor(
    readonly words: Uint32Array,
    readonly recordWords: number,
    private readonly bell: () => number,
  ) {}

  get producer(): number {
    return this.words[0]
  }
  set producer(index: number) {
    this.words[0] = index
  }
  get consumer(): number {
    return this.words[16]
  }

  /** Words of the record `ahead` of the next one that the binding will take. */
  record(ahead = 0): Uint32Array {
    const { words, recordWords } = this
    const capacity = (words.length - 32) / recordWords
    const first = 32 + (((this.consumer + ahead) >>> 0) % capacity) * recordWords
    return words.subarray(first, first + recordWords)
  }

  /** Hands over the next records. Returns how many requests of both rings the device accepted. */
  submit(count = 1): number {
    this.producer = this.consumer + count
    return this.bell()
  }
}

/** Handles and shared words that lib/ keeps to itself: recorded by wrapping the binding's functions. */
export function listen<T extends object>(name: keyof typeof native.verbs, make: () => T) {
  const verbs = native.verbs as unknown as Record<string, (...args: never[]) => unknown>
  const real = verbs[name]
  let heard: { args: unknown[]; result: unknown } | undefined
  verbs[name] = (...args) => {
    const result = real(...args)
    heard = { args, result }
    return result
  }
  try {
    const made = make()
    return { made, ...(heard as unknown as { args: unknown[]; result: never }) }
  } finally {
    verbs[name] = real
  }
}

export const sizes = { maxSendWr: 16, maxReceiveWr: 16, maxSendSge: 3, maxReceiveSge: 3, maxInline: 64 }

/** {@link useRxe}, and queue pairs with their shared words. */
export function useRawQueuePairs() {
  const rxe = useRxe()

  function raw(type: QueuePairType, device: 0 | 1 = 0, options: SideOptions = {}): Raw {
    const rung = listen('submitBell', () =>
      listen('createQueuePair', () => rxe.side(type, device, { ...sizes, ...options })),
    )
    const heard = rung.made
    const ring = rung.result as () => void
    const bell = (): number => {
      ring()
      return control[Control.submitted]
    }
    const { handle } = heard.result as { handle: number }
    const { control, send, receive } = heard.args[4] as Record<'control' | 'send' | 'receive', Uint32Array>
    return {
      ...heard.made,
      handle,
      bell,
      control,
      sends: new RawRing(send, sendWords(sizes.maxSendSge), bell),
      receives: new RawRing(receive, receiveWords(sizes.maxReceiveSge), bell),
    }
  }

  return { ...rxe, raw }
}

/** A region and its handle. */
export function region(
  domain: Side['domain'],
  memory: number | Uint8Array<SharedArrayBuffer>,
  access?: ('LOCAL_WRITE' | 'REMOTE_READ')[],
) {
  const { made, result } = listen('registerMemory', () => domain.registerMemory(memory, { access }))
  return { region: made, handle: (result as { handle: number }).handle }
}

/** [errno, reason, detail] of the last refused record; {@link notRefused} when none was. */
export const refusal = ({ control }: Raw) => [
  control[Control.errno],
  control[Control.reason],
  control[Control.detail],
]
export const notRefused = [0, 0, 0]
