import { instance, oneOf } from '../../argument.js'
import { completionQueueDoorbell, completionQueueRecord, workQueueRecord } from '../layout/doorbell.js'
import type { StructLayout } from '../layout/field.js'
import { type DecodedEntry, DecodeError, Reader } from './entry.js'

const kinds = {
  workQueue: workQueueRecord,
  completionQueue: completionQueueRecord,
  completionQueueRegister: completionQueueDoorbell,
} as const satisfies Record<string, StructLayout>
/**
 * 'workQueue', 'completionQueue': the doorbell record of a queue pair or a work queue, and of a completion queue.
 * 'completionQueueRegister': what is written to a completion queue's register. (What is written to a send queue's are the first
 * bytes of its last request.)
 */
export type DoorbellKind = keyof typeof kinds

/**
 * Names every byte of a doorbell record, or of what is written to a register.
 *
 * @param bytes eight
 * @throws DecodeError when there are not eight
 */
export function decodeDoorbell(bytes: Uint8Array, kind: DoorbellKind): DecodedEntry {
  instance('bytes', bytes, Uint8Array)
  const layout = kinds[oneOf('kind', kind, ['workQueue', 'completionQueue', 'completionQueueRegister'])]
  if (bytes.length !== layout.length) {
    throw new DecodeError(`a doorbell has ${layout.length} bytes, not ${bytes.length}`, bytes.length)
  }
  const reader = new Reader(bytes.slice())
  reader.add(0, layout)
  return { title: layout.title, bytes: reader.bytes, segments: reader.segments }
}
