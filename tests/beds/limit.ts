/**
 * Milliseconds after which a wait fails the test. Far above the usual time of any, so that a busy machine does not matter.
 */
export const limit = 100_000
