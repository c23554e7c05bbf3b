/** A command of `ibverbs`: its texts for `--help`, its options, and the function that runs it. */
import type { ExitCode } from './exit-code.js'
import type { Session } from './session.js'

/** An option as node:util's parseArgs takes it, with its text for `--help`. */
export interface Option {
  readonly type: 'boolean' | 'string'
  readonly short?: string
  readonly multiple?: boolean
  /** Name of the option's argument, in capitals: 'COUNT'. */
  readonly argument?: string
  /** One sentence, without a full stop. */
  readonly help: string
}

export type Options = Readonly<Record<string, Option>>

export interface Command {
  readonly name: string
  /** One line, for the list of commands. */
  readonly summary: string
  /** The forms of the command line, without the names of program and command. */
  readonly synopsis: readonly string[]
  /** Paragraphs between the synopsis and the options. */
  readonly description: string
  readonly options: Options
  /** Command lines that work as they are, each with its purpose. */
  readonly examples: ReadonlyArray<readonly [command: string, purpose: string]>
  /** Runs the command and returns its exit code. It closes everything it opened, even when session.signal aborts. */
  run(args: readonly string[], session: Session): Promise<ExitCode>
}
