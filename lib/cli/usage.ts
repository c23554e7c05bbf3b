/** Parses command lines and writes `--help`. */
import { parseArgs } from 'node:util'
import { table } from '../lab/table.js'
import type { Command, Options } from './command.js'

/** An invalid command line: the process ends with ExitCode.usage. */
export class UsageError extends Error {
  static {
    UsageError.prototype.name = 'UsageError'
  }
}

const help = { type: 'boolean', short: 'h', help: 'show this text' } as const

type Parsed<T extends Options> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>
>

/**
 * Parses the options and operands of a command line.
 *
 * @throws UsageError for an unknown option, or one that lacks its argument
 */
export function parse<T extends Options>(args: readonly string[], options: T): Parsed<T> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true }) as Parsed<T>
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    if (!code?.startsWith('ERR_PARSE_ARGS_')) throw error
    // Node's first sentence says what is wrong; the rest explains parseArgs's settings.
    throw new UsageError(message.split(/\. |\.?\n/)[0].replace(/\.$/, ''))
  }
}

/** Whether a command line asks for help, before '--': after it, '--help' is an operand. */
export function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return args.slice(0, end < 0 ? undefined : end).some((arg) => arg === '--help' || arg === '-h')
}

/** An option's value as an integer in [low, high], in decimal or 0x…; undefined where it is absent. */
export function integerOption(
  name: string,
  text: string | undefined,
  low: number,
  high: number,
): number | undefined {
  if (text === undefined) return undefined
  const value = /^(\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : Number.NaN
  if (!(value >= low && value <= high)) {
    throw new UsageError(`${name} must be an integer from ${low} to ${high}, not '${text}'`)
  }
  return value
}

/** An option's value as a number in [low, high]; undefined where it is absent. */
export function numberOption(
  name: string,
  text: string | undefined,
  low: number,
  high: number,
): number | undefined {
  if (text === undefined) return undefined
  const value = /^(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= low && value <= high)) {
    throw new UsageError(`${name} must be a number from ${low} to ${high}, not '${text}'`)
  }
  return value
}

/** An option's value as one of the given words; undefined where it is absent. */
export function wordOption<const T extends string>(
  name: string,
  text: string | undefined,
  words: readonly T[],
): T | undefined {
  if (text === undefined) return undefined
  const word = words.find((each) => each === text.toLowerCase())
  if (!word) throw new UsageError(`${name} must be ${words.join(' or ')}, not '${text}'`)
  return word
}

/** Returns exactly `count` operands, or throws UsageError naming the first that is missing or superfluous. */
export function operands(positionals: readonly string[], ...names: string[]): string[] {
  if (positionals.length < names.length) throw new UsageError(`${names[positionals.length]} is missing`)
  noMoreOperands(positionals, names.length)
  return [...positionals]
}

export function noMoreOperands(positionals: readonly string[], count: number): void {
  if (positionals.length > count) throw new UsageError(`unexpected argument '${positionals[count]}'`)
}

/** The text of `ibverbs COMMAND --help`. */
export function commandHelp(command: Command): string {
  const rows = Object.entries({ ...command.options, help }).map(([name, option]) => {
    const short = 'short' in option && option.short ? `-${option.short}, ` : '    '
    const argument = 'argument' in option && option.argument ? ` ${option.argument}` : ''
    return [`  ${short}--${name}${argument}`, option.help]
  })
  const examples = command.examples.map(([line, purpose]) => [`  ${line}`, purpose])
  return [
    ...command.synopsis.map((form, i) =>
      `${i ? '      ' : 'Usage:'} ibverbs ${command.name} ${form}`.trimEnd(),
    ),
    '',
    command.description.trim(),
    '',
    'Options:',
    table(rows),
    '',
    'Examples:',
    table(examples),
    '',
    'Exit code: 0 done, 1 failed, 2 wrong usage, 130 after Ctrl-C (128 + the signal).',
    '',
  ].join('\n')
}

/** The text of `ibverbs --help`. */
export function programHelp(commands: ReadonlyArray<Pick<Command, 'name' | 'summary'>>): string {
  return [
    'Usage: ibverbs COMMAND [OPTIONS]',
    '       ibverbs COMMAND --help',
    '       ibverbs --version',
    '',
    'RDMA verbs and raw Ethernet from the command line.',
    '',
    'Commands:',
    table(commands.map(({ name, summary }) => [`  ${name}`, summary])),
    '',
    'Exit code: 0 done, 1 failed, 2 wrong usage, 130 after Ctrl-C (128 + the signal).',
    'Colours are used on a terminal only, and never when NO_COLOR is set.',
    '',
  ].join('\n')
}
