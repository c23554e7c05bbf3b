/** Exit codes of the process; after a signal, 128 + its number, as in shells (sh(1)). */
export const ExitCode = { ok: 0, failed: 1, usage: 2 } as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
