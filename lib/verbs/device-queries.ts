import type { GidEntry } from './address/gid.js'
import type { DeviceAttributes, PortAttributes } from './device-attributes.js'

/**
 * The queries of an open device (ibv_query_device_ex(3), ibv_query_port(3), ibv_query_gid_table(3)): all that checks
 * and defaults need of a {@link Context}.
 *
 * @internal
 */
export interface DeviceQueries {
  readonly name: string
  readonly portCount: number
  readonly limits: DeviceAttributes
  queryPort(port?: number): PortAttributes
  queryGidTable(): GidEntry[]
}
