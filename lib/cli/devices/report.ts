/** A device's attributes, as tables and as JSON. */
import { readFileSync } from 'node:fs'
import type { Context, DeviceAttributes, DeviceInfo, GidEntry, PortAttributes } from '../../index.js'
import { table } from '../../lab/table.js'
import type { Session } from '../session.js'
import { flagNames } from './flags.js'

export interface PortReport extends PortAttributes {
  port: number
  /** Bit rate of the link in Gbit/s: ibv_devinfo's active_speed times active_width. Null for unknown codes. */
  gigabitsPerSecond: number | null
  gids: GidEntry[]
}

export interface DeviceReport extends DeviceInfo {
  /** The vendor's board id; null where the driver does not report it. */
  boardId: string | null
  attributes: DeviceAttributes
  ports: PortReport[]
}

export function deviceReport(device: DeviceInfo, context: Context): DeviceReport {
  const attributes = context.queryDevice()
  const gids = context.queryGidTable()
  const ports = Array.from({ length: attributes.physPortCnt }, (_, i): PortReport => {
    const port = i + 1
    const queried = context.queryPort(port)
    return {
      port,
      ...queried,
      gigabitsPerSecond: linkRate(queried.activeSpeedEx || queried.activeSpeed, queried.activeWidth),
      gids: gids.filter((gid) => gid.port === port),
    }
  })
  return { ...device, boardId: boardId(device.name), attributes, ports }
}

function boardId(device: string): string | null {
  try {
    return readFileSync(`/sys/class/infiniband/${device}/board_id`, 'latin1').trim()
  } catch {
    return null
  }
}

// Codes of active_speed (a lane's Gbit/s) and active_width (lanes): ibv_query_port(3), IBA 14.2.5.6.
const laneSpeeds: Readonly<Record<number, number>> = {
  1: 2.5,
  2: 5,
  4: 10,
  8: 10,
  16: 14,
  32: 25,
  64: 50,
  128: 100,
  256: 200,
}
const laneCounts: Readonly<Record<number, number>> = { 1: 1, 2: 4, 4: 8, 8: 12, 16: 2 }

/** Gbit/s of a link, from its codes. */
export function linkRate(speed: number, width: number): number | null {
  const rate = laneSpeeds[speed] * laneCounts[width]
  return Number.isNaN(rate) ? null : rate
}

/** Three tables: devices, ports, GIDs. */
export function printSummary(reports: readonly DeviceReport[], session: Session): void {
  const { style } = session
  const heading = (...names: string[]) => names.map((name) => style.bold(name))
  session.print(
    table([
      heading('DEVICE', 'TRANSPORT', 'NODE', 'GUID', 'FIRMWARE', 'PORTS'),
      ...reports.map(({ name, transport, nodeType, guid, attributes }) => [
        name,
        transport,
        nodeType,
        guid,
        attributes.firmwareVersion || '-',
        String(attributes.physPortCnt),
      ]),
    ]),
  )
  session.print()
  session.print(
    table([
      heading('PORT', 'STATE', 'LINK', 'MTU', 'RATE', 'LID'),
      ...reports.flatMap(({ name, ports }) =>
        ports.map((port) => [
          `${name}/${port.port}`,
          port.state === 'ACTIVE' ? style.green(port.state) : style.yellow(port.state),
          port.linkLayer,
          `${port.activeMtu} of ${port.maxMtu}`,
          port.gigabitsPerSecond === null ? 'unknown' : `${port.gigabitsPerSecond} Gbit/s`,
          port.linkLayer === 'Ethernet' ? '-' : String(port.lid),
        ]),
      ),
    ]),
  )
  session.print()
  const gids = reports.flatMap(({ name, ports }) =>
    ports.flatMap((port) =>
      port.gids.map((gid) => [
        `${name}/${port.port}`,
        String(gid.index),
        gid.type,
        gid.netdev ?? '-',
        gid.gid,
      ]),
    ),
  )
  if (gids.length === 0) session.print('No GIDs: give the network interface an address, or bring it up.')
  else session.print(table([heading('PORT', 'INDEX', 'TYPE', 'NETDEV', 'GID'), ...gids], ['left', 'right']))
}

/** Every attribute of a device and its ports, under ibv_devinfo(1)'s names where it has them. */
export function printDetails(report: DeviceReport, session: Session): void {
  const { extended, ...attributes } = report.attributes
  const section = (title: string, values: Record<string, unknown>) => {
    session.print()
    session.print(session.style.bold(title))
    session.print(
      table(Object.entries(values).map(([name, value]) => [`  ${snakeCase(name)}`, valueText(name, value)])),
    )
  }
  section(`${report.name}: attributes`, { boardId: report.boardId, ...attributes })
  section(`${report.name}: extended attributes`, extended)
  for (const { gids, ...port } of report.ports) section(`${report.name}: port ${port.port}`, port)
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** Attributes that are sets of bits print in hexadecimal. */
const bitSets = /(Flags|Flags2|FlagsEx|Caps|Cap|Qpts|Mask|Id|hwVer|rxHashFunction)$/

function valueText(name: string, value: unknown): string {
  if (typeof value === 'bigint' && /Guid$/.test(name)) return guidText(value)
  if (typeof value === 'bigint' || (typeof value === 'number' && bitSets.test(name))) {
    return [`0x${value.toString(16)}`, ...flagNames(name, BigInt(value))].join(' ')
  }
  return String(value ?? 'unknown')
}

/** Four groups of four digits, as in ibv_devinfo(1). */
function guidText(guid: bigint): string {
  return (guid.toString(16).padStart(16, '0').match(/.{4}/g) as string[]).join(':')
}

/** All reports as JSON. It has no 64-bit integers: they are strings of hexadecimal digits, GUIDs as in ibv_devinfo. */
export function deviceJson(reports: readonly DeviceReport[]): string {
  const replace = (name: string, value: unknown) => {
    if (typeof value !== 'bigint') return value
    return /Guid$/.test(name) ? guidText(value) : `0x${value.toString(16)}`
  }
  return JSON.stringify(reports, replace, 2)
}
