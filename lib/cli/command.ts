/** What a command of `ibverbs` is: its words for `--help`, its options, and what it does. */
import type { ExitCode } from './exit-code.js'
import type { Session } from './session.js'

/** An option, as node:util's parseArgs takes it, with its words for `--help`. */
export interface Option {
  readonly type: 'boolean' | 'string'
  readonly short?: string
  readonly multiple?: boolean
  /** What the option takes, in capitals: 'COUNT'. */
  readonly argument?: string
  /** One sentence, without a full stop. */
  readonly help: string
}

export type Options = Readonly<Record<string, Option>>

export interface Command {
  readonly name: string
  /** One line, for the list of commands. */
  readonly summary: string
  /** The forms of the command line, without the program's and the command's name. */
  readonly synopsis: readonly string[]
  /** Paragraphs between the synopsis and the options. */
  readonly description: string
  readonly options: Options
  /** Command lines that work as they stand, each with what it does. */
  readonly examples: ReadonlyArray<readonly [command: string, purpose: string]>
  /** Runs the command and returns its exit code. It closes what it opened, also when session.signal aborts. */
  run(args: readonly string[], session: Session): Promise<ExitCode>
}
