import '../control/environment.js'

export { softLibraryPath } from './library.js'
export { SoftConnectX, type SoftDeviceInfo, type SoftPortInfo, softConnectX } from './soft-connectx.js'
export type { PerDirection, SoftLink, SoftOptions, SoftWire } from './specification.js'
