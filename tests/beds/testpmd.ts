/** DPDK's testpmd on the kernel's interfaces; it ends with the test. */

import { type Driver, installedTestpmd, Testpmd } from '../../bench/harness/ethernet/testpmd-process.js'
import { spawn } from './child.js'

export type { Driver } from '../../bench/harness/ethernet/testpmd-process.js'

/** Starts it on these interfaces; its ports have the same order. */
export function startTestpmd(driver: Driver, interfaces: readonly string[], mode: string): Promise<Testpmd> {
  const command = installedTestpmd()
  if (!command) throw new Error('dpdk-testpmd is missing: apt-get install --no-install-recommends dpdk')
  return Testpmd.start({ spawn, command, cores: ['-l', '0,1'], driver, interfaces, mode })
}
