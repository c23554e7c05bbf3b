/** What a program tells about itself. */
import { basename } from 'node:path'
import { snapshot } from '../mlx5/live.js'
import type { Request } from './protocol.js'

/** Characters of the command's name. */
const longestCommand = 200
const usualEntries = 8
export const mostEntries = 64

/** The answer to `program`. */
export interface ProgramAnswer {
  /** The program's file and its script. Other arguments may be secrets. */
  command: string
  /** Its version of Node. */
  node: string
  /** For how long it has run. */
  seconds: number
}

const answers: Readonly<Record<string, (request: Request) => unknown>> = {
  program(): ProgramAnswer {
    const [program, script] = process.argv
    return {
      command: [basename(program), script]
        .filter((part) => part)
        .join(' ')
        .slice(0, longestCommand),
      node: process.version,
      seconds: Math.floor(process.uptime()),
    }
  },
  rings({ entries = usualEntries }) {
    if (!Number.isInteger(entries) || entries < 1 || entries > mostEntries) {
      throw new RangeError(`"entries" must be an integer from 1 to ${mostEntries}`)
    }
    return snapshot(entries)
  },
}

/** @throws Error in words for what is not known, or no good question */
export function answer(request: Request): unknown {
  if (!Object.hasOwn(answers, request.ask)) {
    throw new Error(`"ask" must be one of ${Object.keys(answers).join(', ')}`)
  }
  return answers[request.ask](request)
}
