// Processor time of a process: proc_pid_stat(5).

import { readFileSync } from 'node:fs'

/** USER_HZ, the unit of the times: 100 on x86 and ARM (include/asm-generic/param.h). */
const ticksPerSecond = 100

/**
 * Seconds of a process, and of the children that it has waited for. Throws when there is no such process.
 * @param {number | 'self'} [pid]
 */
export function processorTime(pid = 'self') {
  return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
}

/**
 * @param {string} text of /proc/PID/stat
 * @returns {{ own: number, children: number }}
 */
export function parseStat(text) {
  // Field 2 is the name in parentheses, which may itself contain blanks and parentheses; field 3 follows the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [utime, stime, cutime, cstime] = fields.slice(14 - 3, 18 - 3).map(Number)
  return { own: (utime + stime) / ticksPerSecond, children: (cutime + cstime) / ticksPerSecond }
}
