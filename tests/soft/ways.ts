/** The ways by which `ibverbs soft` can show the devices on this machine: not everyone may make mount namespaces. */
import { spawnSync } from '../beds/child.js'
import { main } from '../cli/run.js'

const trial = spawnSync(process.execPath, [main, 'soft', '--by', 'mount', '--', 'true'], { encoding: 'utf8' })

export const mountable = trial.status === 0
export const ways = mountable ? ['mount', 'preload'] : ['preload']
if (!mountable) console.warn(`not tested: ${String(trial.stderr).trim()}`)
