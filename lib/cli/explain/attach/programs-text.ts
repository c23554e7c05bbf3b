/** The programs that can be asked, as text. */
import type { Program } from '../../../control/programs.js'
import { table } from '../../../lab/table.js'

export function programsText(programs: readonly Program[]): string {
  if (programs.length === 0) {
    return 'No program of yours can be asked: it must run with IBVERBS_CONTROL=1, or call control().'
  }
  return table([
    ['PID', 'thread', 'seconds', 'command'],
    ...programs.map((each) => [
      String(each.pid),
      each.thread === 0 ? 'main' : String(each.thread),
      ...('program' in each ? [String(each.program.seconds), each.program.command] : ['?', each.problem]),
    ]),
  ])
}
