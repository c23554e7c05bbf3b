import { boolean, integer, type Names, oneOf, options as optionsOf } from '../argument.js'
import type { Alternative } from '../flow/alternative.js'
import { flowsArgument } from '../flow/normalize.js'
import type { FlowRule } from '../flow/rule.js'
import { verbsFlowRules, withActions } from '../flow/verbs.js'
import { NativeHandle } from '../handle.js'
import { Kind } from '../native.js'
import { FlowTypes } from './constants.js'
import type { NativeFlowOptions } from './native.js'
import type { QueuePair } from './queue-pair/queue-pair.js'

/** Rules that a device has built in (ibv_flow_attr_type). */
export type DefaultFlow = Exclude<keyof typeof FlowTypes, 'normal'>

/** Options of {@link QueuePair.createFlow}. */
export interface FlowOptions {
  /**
   * Of several rules that match a frame, the one with the lowest number wins: 0 (the default) to 65535; a device may
   * have fewer levels.
   */
  priority?: number
  /** A number that completions of these frames carry: 24 bits, {@link CompletionQueue.flowTag}; 0 by default. */
  tag?: number
  /** Drop the frames instead of receiving them. Default false. */
  drop?: boolean
  /** Let rules of lower priority match the frame too (IBV_FLOW_ATTR_FLAGS_DONT_TRAP). Default false. */
  dontTrap?: boolean
}
const flowOptionNames = {
  priority: true,
  tag: true,
  drop: true,
  dontTrap: true,
} as const satisfies Names<FlowOptions>

/** IBV_FLOW_ATTR_FLAGS_DONT_TRAP */
const dontTrapFlag = 2
const defaults = Object.keys(FlowTypes).filter((name) => name !== 'normal') as DefaultFlow[]

/** What frames are steered to: a {@link QueuePair}, or an RSS queue pair of `ibverbs/mlx5`. */
export interface FlowTarget {
  /** Number of the queue pair. */
  readonly number: number
  /** Port of the device, from 1. */
  readonly port: number
  /** Steers the frames that match to it: see {@link QueuePair.createFlow}. */
  createFlow(rules: FlowRule | readonly FlowRule[] | DefaultFlow, options?: FlowOptions): Flow<FlowTarget>
  /** The same for rules in normal form. @internal */
  createFlowOf(alternatives: readonly Alternative[], name: string): Flow<FlowTarget>
}

/** The binding's call that makes an owner's. */
type MakeFlow = (rules: Uint8Array[], options: NativeFlowOptions) => number

/** Flow rules (ibv_create_flow(3)): in force until they, or the queue pair, are closed. */
export class Flow<Target extends FlowTarget = QueuePair> extends NativeHandle {
  /** Whose frames they are. */
  readonly queuePair: Target
  /** How many rules of the device the given ones take: a range of ports may need several. */
  readonly count: number

  private constructor(queuePair: Target, handle: number, count: number) {
    super(handle, Kind.Flow, 'flow')
    this.queuePair = queuePair
    this.count = count
  }

  /** @internal */
  static create<Target extends FlowTarget>(
    pair: Target,
    make: MakeFlow,
    rules: FlowRule | readonly FlowRule[] | DefaultFlow,
    options: FlowOptions | undefined,
  ): Flow<Target> {
    const {
      priority = 0,
      tag,
      drop = false,
      dontTrap = false,
    } = optionsOf('options', options, flowOptionNames)
    integer('options.priority', priority, 0, 0xffff)
    if (tag !== undefined) integer('options.tag', tag, 0, 0xffffff)
    boolean('options.drop', drop)
    boolean('options.dontTrap', dontTrap)
    const type = typeof rules === 'string' ? oneOf('rules', rules, defaults) : 'normal'
    const specifications = typeof rules === 'string' ? [new Uint8Array()] : compile(rules)
    const made = specifications.map((each) => withActions(each, { tag, drop }))
    const flags = dontTrap ? dontTrapFlag : 0
    const attributes = { type: FlowTypes[type], priority, port: pair.port, flags }
    return new Flow(pair, make(made, attributes), made.length)
  }

  /** Creates rules given in normal form; `name` is the argument's, for errors. @internal */
  static of<Target extends FlowTarget>(
    pair: Target,
    make: MakeFlow,
    rules: readonly Alternative[],
    name: string,
  ): Flow<Target> {
    const made = verbsFlowRules(rules, name)
    const attributes = { type: FlowTypes.normal, priority: 0, port: pair.port, flags: 0 }
    return new Flow(pair, make(made, attributes), made.length)
  }

  /** @internal */
  protected override describe(): Record<string, unknown> {
    return { queuePair: this.queuePair.number, count: this.count, closed: false }
  }
}

function compile(rules: FlowRule | readonly FlowRule[]): Uint8Array[] {
  const list = Array.isArray(rules) ? flowsArgument('rules', rules) : flowsArgument('rules', [rules])
  return verbsFlowRules(list)
}
