/** A size within the device's announced limits that it cannot provide: the error names the largest that works. */
import { open } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { VerbsError } from '../../dist/errors.js'
import { native } from '../../dist/native.js'
import { orLargest } from '../../dist/verbs/largest.js'
import { names, soft, thrownBy, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

/** The message's values for each option: the requested size, and the largest that works. */
function named(message: string): [string, number, number][] {
  return [...message.matchAll(/(\w+) (\d+): the largest that works here is (\d+)/g)].map(
    ([, name, asked, largest]) => [name, Number(asked), Number(largest)],
  )
}

// libmlx5 rounds a request of this queue up to some blocks of 64 bytes; rxe accepts every size that it announces.
describe.runIf(soft)('a queue pair', () => {
  const most = 32_768
  const few = { maxSendWr: 1, maxReceiveWr: 1, maxSendSge: 1, maxReceiveSge: 1, maxInline: 0 }
  it.each([
    [{}],
    [{ maxSendSge: 30 }],
    [{ maxInline: 500 }],
    [{ maxSendSge: 30, maxReceiveSge: 30, maxReceiveWr: most }],
  ] as const)('of too many sends says how many it can have with %j', (sizes) => {
    const context = rxe.context()
    const domain = context.allocateProtectionDomain()
    const cq = context.createCompletionQueue(2 * most)
    const asked = { ...few, ...sizes, maxSendWr: most }
    const error = thrownBy(() => domain.createQueuePair({ type: 'RC', cq, ...asked }))
    expect(error).toMatchObject({ name: 'VerbsError', syscall: 'ibv_create_qp' })
    const [[which, was, largest], ...others] = named(error.message)
    expect([which, was, others]).toEqual(['maxSendWr', most, []])
    expect(cq.freeEntries).toBe(cq.entries)
    // It is the largest: it works, and one more does not.
    domain.createQueuePair({ type: 'RC', cq, ...asked, maxSendWr: largest }).close()
    const more = thrownBy(() => domain.createQueuePair({ type: 'RC', cq, ...asked, maxSendWr: largest + 1 }))
    expect(named(more.message)).toEqual([['maxSendWr', largest + 1, largest]])
    expect(cq.freeEntries).toBe(cq.entries)
  })

  it('with several sizes that are too large names each', () => {
    const context = rxe.context()
    const domain = context.allocateProtectionDomain()
    const cq = context.createCompletionQueue(2 * most)
    const asked = { ...few, maxSendWr: most, maxInline: 5000 }
    const { message } = thrownBy(() => domain.createQueuePair({ type: 'RC', cq, ...asked }))
    const [inline, sends] = named(message)
    expect([inline[0], sends[0]]).toEqual(['maxInline', 'maxSendWr'])
    domain.createQueuePair({ type: 'RC', cq, ...asked, maxInline: inline[2], maxSendWr: sends[2] }).close()
  })
})

describe('a size that is too large', () => {
  interface Made {
    handle: number
  }
  const refused = new VerbsError(22, 'ibv_create_thing')
  const real = native.close

  /** Makes an object if `fits` accepts its sizes; counts the open ones. */
  function thing(fits: (sizes: { wide: number; deep: number }) => boolean) {
    let made = 0
    native.close = () => {
      made--
      return true
    }
    {
      const create = (sizes: { wide: number; deep: number }): Made => {
        if (!fits(sizes)) throw refused
        made++
        return { handle: made }
      }
      const order = [
        ['wide', 0],
        ['deep', 1],
      ] as const
      return {
        of: (wide: number, deep: number) =>
          orLargest({ wide, deep }, order, create, 0 as never, 'ibv_create_thing'),
        left: () => made,
      }
    }
  }

  it('is named, the later size fitted to the earlier; no attempt is left open', () => {
    try {
      const { of, left } = thing(({ wide, deep }) => wide <= 30 && wide * deep <= 1000)
      expect(thrownBy(() => of(10, 101)).message).toBe(
        'EINVAL: ibv_create_thing: deep 101: the largest that works here is 100',
      )
      expect(thrownBy(() => of(31, 7)).message).toBe(
        'EINVAL: ibv_create_thing: wide 31: the largest that works here is 30',
      )
      expect(thrownBy(() => of(99, 99)).message).toBe(
        'EINVAL: ibv_create_thing: wide 99: the largest that works here is 30; deep 99: the largest that works here is 33',
      )
      expect(left()).toBe(0)
      of(10, 100)
      expect(left()).toBe(1)
    } finally {
      native.close = real
    }
  })

  it('is not named when the failure has another reason', () => {
    try {
      const { of } = thing(() => false)
      expect(thrownBy(() => of(3, 4))).toBe(refused)
    } finally {
      native.close = real
    }
  })
})

it('the sizes of a completion queue are searched alike', () => {
  const context = rxe.context()
  const create = native.verbs.createCompletionQueue
  native.verbs.createCompletionQueue = (handle, entries, batch, block, ...more) => {
    if (entries > 100) throw new VerbsError(12, 'ibv_create_cq')
    return create(handle, entries, batch, block, ...more)
  }
  try {
    expect(thrownBy(() => context.createCompletionQueue(1000)).message).toBe(
      'ENOMEM: ibv_create_cq: entries 1000: the largest that works here is 100',
    )
    context.createCompletionQueue(100)
  } finally {
    native.verbs.createCompletionQueue = create
  }
})

// Eight doorbell pages each (binding/soft/driver/doorbell_pages.h).
it.runIf(soft)(
  'the 129th context of a process is refused in words, and can be had when another is closed',
  () => {
    const contexts = Array.from({ length: 128 }, () => rxe.context())
    expect(thrownBy(() => open(names[0])).message).toBe(
      `ENOMEM: ibv_open_device: ${names[0]}: a process has doorbell pages for 128 contexts of software ConnectX, and all are in use: close one of them`,
    )
    contexts[0].close()
    rxe.context()
  },
)
