/** Warns when a measurement keeps more threads busy than the machine has processors. */
import { availableParallelism } from 'node:os'

/** What keeps this machine busy during a measurement. */
export interface Busy {
  /** Processes that poll all the time, or send as fast as they can. */
  processes: number
  /** Threads of software NICs, which poll all the time while there is traffic. */
  nicThreads: number
}

/** A warning in one line; null where every busy thread has a processor. */
export function oversubscriptionWarning(
  { processes, nicThreads }: Busy,
  processors = availableParallelism(),
): string | null {
  if (processes + nicThreads <= processors) return null
  const count = (n: number, one: string, several: string) => `${n} ${n === 1 ? one : several}`
  const busy = [
    count(processes, 'busy process', 'busy processes'),
    ...(nicThreads > 0 ? [count(nicThreads, "software NIC's thread", "software NICs' threads")] : []),
  ]
  return (
    `warning: ${busy.join(' and ')} share ${count(processors, 'processor', 'processors')}: ` +
    'the times are those of the scheduler, too'
  )
}
