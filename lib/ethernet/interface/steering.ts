/** Steers frames to receive queues of a NIC: its n-tuple rules (ethtool -N). */
import { constants } from 'node:os'
import { integer, string } from '../../argument.js'
import type { VerbsError } from '../../errors.js'
import type { Alternative } from '../../flow/alternative.js'
import { flowsArgument } from '../../flow/normalize.js'
import { ntupleRule } from '../../flow/ntuple.js'
import type { FlowRule } from '../../flow/rule.js'
import { native } from '../../native.js'
import { queueNames } from '../af-xdp/setup.js'
import { ethtoolError, queueCount } from './channels.js'
import { queryInterface } from './interfaces.js'

const what = 'n-tuple rules'

/** Rules that {@link steer} installed in a NIC. They stay until {@link remove}, also when the process ends. */
export class Steering {
  /** The interface's name when the rules were installed. */
  readonly interfaceName: string
  readonly queueId: number
  readonly #index: number
  readonly #locations: number[] = []

  /** @internal see {@link steer} */
  static install(
    name: string,
    index: number,
    alternatives: readonly Alternative[],
    queueId: number,
  ): Steering {
    return new Steering(name, index, alternatives, queueId)
  }

  private constructor(name: string, index: number, alternatives: readonly Alternative[], queueId: number) {
    const { ethtool } = native.ethernet
    // Encode all rules first: a field that the struct has no place for is an error before anything is changed.
    for (const alternative of alternatives) ntupleRule(alternative, queueId)
    this.interfaceName = name
    this.queueId = queueId
    this.#index = index
    try {
      for (const alternative of alternatives) {
        const location = ethtool.addRule(name, ntupleRule(alternative, queueId, freeLocation(name)))
        if (location < 0) throw ethtoolError(-location, 'ETHTOOL_SRXCLSRLINS', name, what, detailOf(name))
        this.#locations.push(location)
      }
    } catch (error) {
      this.remove()
      throw error
    }
  }

  /** The locations of the rules in the device, as `ethtool -n` lists them; empty once they are removed. */
  get locations(): readonly number[] {
    return this.#locations
  }

  /** Removes the rules. Idempotent; does nothing when the interface no longer exists. */
  remove(): void {
    // The interface may have been renamed.
    const name = nameOf(this.#index)
    let failed: VerbsError | undefined
    for (const location of this.#locations.splice(0).reverse()) {
      if (name === undefined) break
      const status = native.ethernet.ethtool.removeRule(name, location)
      if (status < 0) failed ??= ethtoolError(-status, 'ETHTOOL_SRXCLSRLDEL', name, what, `rule ${location}`)
    }
    if (failed) throw failed
  }

  [Symbol.dispose](): void {
    this.remove()
  }
}

/**
 * Steers the frames that a rule matches to one of a NIC's receive queues, by n-tuple rules. A rule that names a
 * protocol and no addresses takes two of them, one for each version of IP.
 *
 * @throws VerbsError ENODEV; ENOTSUP that names the driver, for one without n-tuple rules, or the field for which
 *   they have no place; EINVAL for a queue that does not exist or a rule that the driver does not accept; ENOSPC when
 *   its table is full; EPERM without CAP_NET_ADMIN; TypeError, RangeError for an invalid flow rule
 */
export function steer(interfaceName: string, rule: FlowRule, queueId: number): Steering {
  const { name, index } = queryInterface(string('interfaceName', interfaceName))
  const alternatives = flowsArgument('rules', [rule])
  integer('queueId', queueId, 0, 4095)
  return Steering.install(name, index, alternatives, queueId)
}

function nameOf(index: number): string | undefined {
  return native.ethernet.interfaces().find((entry) => entry.index === index)?.name
}

/**
 * undefined: the device chooses. Otherwise the last free location, as ethtool takes it: the first rule that matches
 * counts.
 */
function freeLocation(name: string): number | undefined {
  const { status, special, size, used } = native.ethernet.ethtool.ruleTable(name)
  if (status < 0) throw ethtoolError(-status, 'ETHTOOL_GRXCLSRLCNT', name, what)
  if (special) return undefined
  const taken = new Set(used)
  for (let location = size - 1; location >= 0; location--) if (!taken.has(location)) return location
  throw ethtoolError(
    constants.errno.ENOSPC,
    'ETHTOOL_SRXCLSRLINS',
    name,
    what,
    `all ${size} places of its table are taken`,
  )
}

function detailOf(name: string): string {
  const queues = queueCount(name)
  return `its driver does not take the rule${queues > 0 ? ` (of its queues ${queueNames(queues)})` : ''}`
}
