/** Garbage for every argument of every public function: an error that names the argument, and never a crash. */
import { AddressHandle, MemoryRegion } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { type Side, useRxe } from '../beds/rxe.js'

export interface World {
  side: Side
  ud: Side
  other: Side
  addressHandle: AddressHandle
}

export function makeWorld(rxe: ReturnType<typeof useRxe>): World {
  const side = rxe.side('RC', 0, { entries: 1000, maxSendWr: 400, maxReceiveWr: 400 })
  const ud = rxe.side('UD', 1)
  const other = rxe.side('RC', 1)
  return { side, ud, other, addressHandle: ud.domain.createAddressHandle(ud.pair.endpoint) }
}

/** Values that no argument accepts, and values that some accept. */
function garbage(world: World): [string, unknown][] {
  const { side, ud } = world
  return [
    ['undefined', undefined],
    ['null', null],
    ['true', true],
    ['""', ''],
    ['"5"', '5'],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
    ['-1', -1],
    ['1.5', 1.5],
    ['2 ** 31', 2 ** 31],
    ['2 ** 32', 2 ** 32],
    ['2 ** 53', 2 ** 53],
    ['1e300', 1e300],
    ['1n', 1n],
    ['-1n', -1n],
    ['Symbol()', Symbol('garbage')],
    ['{}', {}],
    ['[]', []],
    ['[1]', [1]],
    ['a function', () => 1],
    ['{ valueOf }', { valueOf: () => 1 }],
    ['new Number', Object(1)],
    ['a Proxy', new Proxy({}, {})],
    ['an object without a prototype', Object.create(null)],
    ['an ArrayBuffer', new ArrayBuffer(8)],
    ['a Uint8Array over an ArrayBuffer', new Uint8Array(8)],
    ['a DataView', new DataView(new SharedArrayBuffer(8))],
    ['a Context', side.context],
    ['a ProtectionDomain', side.domain],
    ['a CompletionQueue', side.cq],
    ['a MemoryRegion', side.memory],
    ['a QueuePair', ud.pair],
    ['an AddressHandle', world.addressHandle],
    ['what only looks like a MemoryRegion', Object.create(MemoryRegion.prototype)],
    ['what only looks like an AddressHandle', Object.create(AddressHandle.prototype)],
  ]
}

export type Names = string[]

export interface Parameter {
  /** The name that the error must contain. */
  name: string
  /** Labels of the garbage above that the argument accepts. */
  fine?: Names
  call: (world: World, value: never) => unknown
}

export const count: Names = ['2 ** 31', '2 ** 32'] // in the range of a u32 or more
export const u32: Names = ['2 ** 31']

/** Labels of every object without properties of its own: it cannot be told from options. */
export function objects(...more: Names): Names {
  return [
    '{}',
    '[]',
    'new Number',
    'a Proxy',
    'an object without a prototype',
    'an ArrayBuffer',
    'a DataView',
    'what only looks like a MemoryRegion',
    'what only looks like an AddressHandle',
    ...more,
  ]
}

/** Codes of errors about arguments; a VerbsError counts too where the argument's value is the reason. */
const codes = ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE']

/** A test for each function, which calls it with every value that an argument does not accept. */
export function refusesGarbage(parameters: Record<string, Parameter[]>): void {
  const rxe = useRxe()

  describe('garbage is refused by name', () => {
    it.each(Object.entries(parameters))('%s', async (_, list) => {
      const world = makeWorld(rxe)
      for (const { name, fine = [], call } of list) {
        for (const [label, value] of garbage(world)) {
          if (fine.includes(label)) continue
          const result: Partial<NodeJS.ErrnoException> = await (async () =>
            call(world, value as never))().then(
            () => ({ message: 'nothing was thrown' }),
            (error) => error,
          )
          const seen = {
            parameter: name,
            value: label,
            message: result.message,
            named: result.message?.startsWith(`"${name}`),
            code: codes.includes(result.code ?? ''),
            type: result instanceof (result.code === 'ERR_OUT_OF_RANGE' ? RangeError : TypeError),
          }
          expect(seen).toMatchObject({ named: true, code: true, type: true })
        }
      }
    })
  })
}
