import { abortSignal, type Names, options } from './argument.js'

/** Options of every call that waits. */
export interface WaitOptions {
  /** Ends the wait: its promise rejects with the signal's reason. Default: none. */
  signal?: AbortSignal
}
export const waitOptionNames = { signal: true } as const satisfies Names<WaitOptions>

/** The signal from the options of a wait that has no other options. */
export function waitSignal(given: WaitOptions | undefined): AbortSignal | undefined {
  return abortSignal('options.signal', options('options', given, waitOptionNames).signal)
}
