/** Link-layer control protocols in tcpdump's words. */
import { type Dissection, hex } from './dissection.js'

const pause = 1

/** MAC control (IEEE 802.3, 31) and multipoint MAC control (64). */
export function controlText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 2, 'mpcp', end)
  const operation = frame.u16(at)
  const name = ['', 'Pause', 'Gate', 'Report', 'Reg request', 'Reg', 'Reg ack'][operation]
  frame.print(`MPCP, Opcode ${name || `Unknown (${operation})`}`)
  if (operation !== pause) {
    frame.need(at, 6, 'mpcp', end)
    frame.print(`, Timestamp ${frame.u32(at + 2)} ticks`)
  }
  frame.print(`, length ${end - at}`)
}

/** LLDP (IEEE 802.1AB): its length, and the system's name if it has one. */
export function lldpText(frame: Dissection, at: number, end: number): void {
  frame.print(`LLDP, length ${end - at}`)
  for (let field = at; frame.has(field, 2, end); ) {
    const head = frame.u16(field)
    const [type, length] = [head >> 9, head & 0x1ff]
    if (type === 0) return
    frame.need(field + 2, length, 'lldp', end)
    if (type === 5) frame.print(`: ${frame.ascii(field + 2, length)}`)
    field += 2 + length
  }
}

/** EAP over LAN (IEEE 802.1X). */
export function eapolText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 4, 'eap', end)
  const type = frame.u8(at + 1)
  const name =
    ['EAP packet', 'EAPOL start', 'EAPOL logoff', 'EAPOL key', 'Encap ASF alert'][type] ?? 'unknown'
  frame.print(`${name} (${type}) v${frame.u8(at)}, len ${frame.u16(at + 2)}`)
}

/** Slow protocols (IEEE 802.3, 57A): link aggregation and others. */
export function slowText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 1, 'slow', end)
  const type = frame.u8(at)
  const name = { 1: 'LACP', 2: 'MARKER', 3: 'OAM' }[type]
  if (name === undefined) {
    frame.print(`unknown (${type}), length ${end - at}`)
    return
  }
  frame.need(at, 2, 'slow', end)
  frame.print(`${name}${type === 3 ? '' : `v${frame.u8(at + 1)}`}, length ${end - at}`)
}

/** The configuration testing protocol of Ethernet version 2. */
export function loopbackText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 4, 'loopback', end)
  const [skip, operation] = [little(frame, at), little(frame, at + 2)]
  frame.print(`Loopback, skipCount ${skip}, `)
  if (operation === 1) {
    frame.need(at, 6, 'loopback', end)
    frame.print(`Reply, receipt number ${little(frame, at + 4)}, data (${end - at - 6} octets)`)
  } else if (operation === 2) {
    frame.need(at, 10, 'loopback', end)
    frame.print(`Forward Data, forwarding address ${frame.mac(at + 4)}, data (${end - at - 10} octets)`)
  } else frame.print(`unknown (${operation})`)
}

const little = (frame: Dissection, at: number) => frame.u8(at) | (frame.u8(at + 1) << 8)

/** MACsec (IEEE 802.1AE): its tag; the rest is encrypted. */
export function macsecText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 6, 'macsec', end)
  const control = frame.u8(at)
  const names = ['V', 'E', 'S', 'B', 'E', 'C']
  const flags = [0x80, 0x40, 0x20, 0x10, 0x08, 0x04]
  const marks = names.filter((_, i) => control & flags[i]).join('')
  const length = frame.u8(at + 1) & 0x3f
  frame.name('802.1AE MACsec, ')
  frame.print(`an ${control & 3}, pn ${frame.u32(at + 2)}, flags ${marks || 'none'}`)
  if (length > 0) frame.print(`, sl ${length}`)
  if (control & 0x20) {
    frame.need(at, 14, 'macsec', end)
    frame.print(`, sci ${frame.hex(at + 6, 8)}`)
  }
}

const ptpMessages: Readonly<Record<number, string>> = {
  0: 'sync msg',
  1: 'delay req msg',
  2: 'peer delay req msg',
  3: 'peer delay resp msg',
  8: 'follow up msg',
  9: 'delay resp msg',
  10: 'peer delay fup msg',
  11: 'announce msg',
  12: 'signalling msg',
  13: 'management msg',
}
/** Messages that begin with a time, and its name. */
const ptpTimes: Readonly<Record<number, string>> = {
  0: 'originTimeStamp',
  1: 'originTimeStamp',
  2: 'originTimeStamp',
  8: 'preciseOriginTimeStamp',
}

/** PTP (IEEE 1588-2008): the header, and the times in the simple messages. */
export function ptpText(frame: Dissection, at: number, end: number): void {
  if (end - at < 34) {
    frame.print(`[length ${end - at} < 34] (invalid)`)
    return
  }
  frame.need(at, 34, 'ptp', end)
  const type = frame.u8(at) & 15
  const version = frame.u8(at + 1) & 15
  frame.print(`PTPv${version}, `)
  if (version !== 2) {
    frame.print(`length : ${end - at}`)
    return
  }
  const name = ptpMessages[type] ?? `unknown (${type})`
  const control = ['Sync', 'Delay_Req', 'Follow_Up', 'Delay_Resp', 'Management', 'Other'][frame.u8(at + 32)]
  const correction = frame.u64(at + 8)
  const parts = [
    `v1 compat : ${frame.u8(at) & 0x10 ? 'yes' : 'no'}`,
    `msg type : ${name}`,
    `length : ${frame.u16(at + 2)}`,
    `domain : ${frame.u8(at + 4)}`,
    `reserved1 : ${frame.u8(at + 5)}`,
    `Flags [${ptpFlags(frame.u16(at + 6))}]`,
    // Nanoseconds in 48 bits, and fractions of them in 16 bits.
    `NS correction : ${correction >> 16n}`,
    `sub NS correction : ${correction & 0xffffn}`,
    `reserved2 : ${frame.u32(at + 16)}`,
    `clock identity : ${hex(frame.u64(at + 20))}`,
    `port id : ${frame.u16(at + 28)}`,
    `seq id : ${frame.u16(at + 30)}`,
    `control : ${frame.u8(at + 32)} (${control ?? 'Other'})`,
    `log message interval : ${frame.u8(at + 33)}`,
  ]
  frame.print(parts.join(', '))
  const time = ptpTimes[type]
  if (time === undefined) return
  frame.need(at, 44, 'ptp', end)
  const seconds = frame.u16(at + 34) * 2 ** 32 + frame.u32(at + 36)
  frame.print(`, ${time} : ${seconds} seconds, ${frame.u32(at + 40)} nanoseconds`)
}

function ptpFlags(flags: number): string {
  const names: [number, string][] = [
    [0x0001, 'l1_61'],
    [0x0002, 'l1_59'],
    [0x0004, 'utc reasonable'],
    [0x0008, 'timescale'],
    [0x0010, 'time tracable'],
    [0x0020, 'frequency tracable'],
    [0x0100, 'alternate master'],
    [0x0200, 'two step'],
    [0x0400, 'unicast'],
    [0x1000, 'unknown'],
    [0x2000, 'profile specific 1'],
    [0x4000, 'profile specific 2'],
    [0x8000, 'security'],
  ]
  return (
    names
      .filter(([bit]) => flags & bit)
      .map(([, name]) => name)
      .join(', ') || 'none'
  )
}
