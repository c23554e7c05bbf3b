/** Whether more threads want a processor all the time than there are: what a measurement has to say of itself. */
import { availableParallelism } from 'node:os'

/** Who is busy on this machine while something is measured. */
export interface Busy {
  /** Processes that look all the time, or send as fast as they can. */
  processes: number
  /** Threads of software NICs, which look all the time while there is traffic. */
  nicThreads: number
}

/** A line of warning; null where everybody has a processor. */
export function crowdingText(
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

/** Software ConnectX have such names, and none else (binding/soft/device/specification.cc). */
export function isSoftware(device: string): boolean {
  return /^mlx5_soft\d/.test(device)
}
