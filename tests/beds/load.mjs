// A load beside the tests: one busy process for each processor.

import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'

/** Starts it; it ends with `end()`, and with this process, however that ends (PR_SET_PDEATHSIG). */
export function startLoad(count = availableParallelism()) {
  const busy = Array.from({ length: count }, () =>
    spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }),
  )
  return {
    end() {
      for (const child of busy) child.kill('SIGKILL')
    },
  }
}
