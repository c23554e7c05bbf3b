// Ends the processes that a process has started when that process ends or is killed: those that carry its mark, and their
// descendants.

import { spawn } from 'node:child_process'

/** The environment variable that marks this process's children. */
export const mark = { IBVERBS_TESTED_BY: String(process.pid) }

// The pipe ends with its writer. A regular exit leaves no processes, and says so. Those that are ended are no children of
// the shell, which can wait for no others: it looks again until none is left, new ones neither.
const script = `
read -r word && exit
marked() { grep -lsz "^IBVERBS_TESTED_BY=$1\\$" /proc/[0-9]*/environ; }
while all=$(marked "$1"); [ -n "$all" ]; do
  for one in $all; do kill -KILL "$(basename "$(dirname "$one")")"; done
  sleep 0.1
done 2>/dev/null`

const key = Symbol.for('ibverbs.tests.reaper')

/** Starts the shell that outlives this process and ends its children. Once for each process. */
export function startReaper() {
  if (globalThis[key]) return
  const child = spawn('sh', ['-c', script, 'reaper', String(process.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    // The shell must not carry the mark itself.
    env: { ...process.env, IBVERBS_TESTED_BY: undefined },
  })
  globalThis[key] = child
  child.unref()
  child.stdin.unref()
  process.on('exit', () => child.stdin.write('done\n'))
}
