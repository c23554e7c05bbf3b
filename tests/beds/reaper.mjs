// Ends what a process has started when that process is gone, also when it was killed: what bears its mark, and all that
// descends from that.

import { spawn } from 'node:child_process'

/** What the processes that this one starts are to have in their environment. */
export const mark = { IBVERBS_TESTED_BY: String(process.pid) }

// The pipe ends when its writer is gone. Who exits by himself has left nothing, and says so.
const script = `
read -r word && exit
marked() { grep -lsz "^IBVERBS_TESTED_BY=$1\\$" /proc/[0-9]*/environ; }
while all=$(marked "$1"); [ -n "$all" ]; do
  for one in $all; do kill -KILL "$(basename "$(dirname "$one")")"; done
  sleep 0.1
done 2>/dev/null`

const key = Symbol.for('ibverbs.tests.reaper')

/** Starts the shell that outlives this process and does so. Once a process. */
export function startReaper() {
  if (globalThis[key]) return
  const child = spawn('sh', ['-c', script, 'reaper', String(process.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    // Not of those that it ends.
    env: { ...process.env, IBVERBS_TESTED_BY: undefined },
  })
  globalThis[key] = child
  child.unref()
  child.stdin.unref()
  process.on('exit', () => child.stdin.write('done\n'))
}
