/** What `ibverbs explain` can ask of a device: a frame, or an RC request. */
export const kinds = ['frame', 'send', 'write', 'read', 'atomic'] as const
export type Kind = (typeof kinds)[number]
