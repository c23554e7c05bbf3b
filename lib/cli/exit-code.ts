/** What the process says to its parent; 128 + the signal's number after a signal, as shells count (sh(1)). */
export const ExitCode = { ok: 0, failed: 1, usage: 2 } as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
