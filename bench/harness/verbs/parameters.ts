/** Parameters for both sides of a verbs comparison: the same queue sizes, flags and batches. */
export interface PairParameters {
  /** Device names of the two ends. */
  devices: readonly [string, string]
  /** Their GID indices. */
  gidIndices: readonly [number, number]
  type: 'RC' | 'UD'
  /** Bytes of payload. */
  size: number
  /** max_inline_data of the queue pairs; a message that fits is sent inline. 0: never. */
  inline: number
  sendDepth: number
  receiveDepth: number
}

/** Additional parameters of a rate comparison. */
export interface RateParameters extends PairParameters {
  operation: 'send' | 'write'
  /** Number of work requests posted at once. */
  batch: number
  /** Every N-th request is signalled; the batch is a multiple of it. */
  signal: number
}

/** The most completions that one poll takes, like kPollBatch in bench/peers/pair.h. */
export const pollBatch = 32

/** A UD receive begins with room for the global route header (ibv_post_recv(3)). */
export const grhSize = 40

/** Command line of the peers in bench/peers. */
export function peerArguments(parameters: PairParameters | RateParameters): string[] {
  const { devices, gidIndices, type, size, inline, sendDepth, receiveDepth } = parameters
  const words = [
    `a=${devices[0]}`,
    `b=${devices[1]}`,
    `gid-a=${gidIndices[0]}`,
    `gid-b=${gidIndices[1]}`,
    `type=${type}`,
    `size=${size}`,
    `inline=${inline}`,
    `send-depth=${sendDepth}`,
    `receive-depth=${receiveDepth}`,
  ]
  if ('operation' in parameters) {
    const { operation, batch, signal } = parameters
    words.push(`operation=${operation}`, `batch=${batch}`, `signal=${signal}`)
  }
  return words
}
