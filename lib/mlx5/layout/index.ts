/** Where each field of a ring's entry lies: what a driver of one's own needs. All fields are big-endian. */
export * from './completion.js'
export * from './doorbell.js'
export * from './names.js'
export * from './receive-request.js'
export * from './send-request.js'
