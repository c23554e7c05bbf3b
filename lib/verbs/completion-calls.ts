/** The calls of a completion queue that are compiled once for every queue. */
export interface CompletionCalls {
  /**
   * Polls up to a batch of completions: one native call, no allocation. Where JavaScript sees the device's own ring
   * (SoftRoCE), an empty poll is a few loads and no native call.
   *
   * @returns how many rows of the columns are filled
   * @throws Error ERR_IBVERBS_CLOSED
   */
  poll(): number
}
