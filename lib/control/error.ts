/** What stands in the way of asking a program, or of being asked: an Error with code ERR_IBVERBS_CONTROL. */
export function controlError(message: string, cause?: unknown): Error {
  const error = new Error(message, cause === undefined ? undefined : { cause })
  return Object.assign(error, { code: 'ERR_IBVERBS_CONTROL' })
}

/** The code of a system error. */
export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | null)?.code
