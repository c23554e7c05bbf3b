/** IEEE 802.3 frames: LLC (IEEE 802.2), SNAP, and spanning trees (IEEE 802.1D, 802.1w), in tcpdump's words. */
import { type Dissection, hex } from './dissection.js'
import { etherTypeName } from './ether-types.js'

const points: Readonly<Record<number, string>> = {
  0: 'Null',
  2: '802.1B I',
  3: '802.1B G',
  4: 'SNA',
  6: 'IP',
  14: 'ProWay NM',
  66: 'STP',
  126: 'ISO8208',
  142: 'ProWay ASLM',
  170: 'SNAP',
  224: 'IPX',
  240: 'NetBeui',
  254: 'OSI',
  255: 'Global',
}
const STP = 0x42
const SNAP = 0xaa
const IP = 0x06

/**
 * @param end of the frame, according to its length field
 * @param header of the frame
 */
export function llcText(frame: Dissection, at: number, end: number, header: number): void {
  frame.need(at, 3, 'llc', end)
  const [dsap, ssap] = [frame.u8(at), frame.u8(at + 1)]
  // Supervisory and information frames have a two-byte control field; its second byte holds the receive sequence number.
  const short = (frame.u8(at + 2) & 3) === 3
  if (!short) frame.need(at, 4, 'llc', end)
  const control = short ? frame.u8(at + 2) : frame.u8(at + 2) | (frame.u8(at + 3) << 8)
  const [to, from] = [dsap & 0xfe, ssap & 0xfe]
  const response = (ssap & 1) === 1
  if (frame.link) {
    const name = (point: number, bit: string) => `${points[point] ?? 'Unknown'} (${hex(point, 2)}) ${bit}`
    const destination = name(to, dsap & 1 ? 'Group' : 'Individual')
    const source = name(from, response ? 'Response' : 'Command')
    frame.print(`LLC, dsap ${destination}, ssap ${source}, ctrl ${hex(control, short ? 2 : 4)}: `)
  }
  const payload = at + (short ? 3 : 4)
  if (control === 3 && dsap === STP && ssap === STP) stpText(frame, payload, end)
  else if (control === 3 && dsap === SNAP && ssap === SNAP) snapText(frame, payload, end, header)
  else if (control === 3 && dsap === IP && ssap === IP) frame.payload(0x0800, payload, end)
  else plainText(frame, at, end, header, control, response)
}

/** Any other: addresses, and the kind of frame. */
function plainText(
  frame: Dissection,
  at: number,
  end: number,
  header: number,
  control: number,
  response: boolean,
): void {
  const [to, from] = [frame.u8(at) & 0xfe, frame.u8(at + 1) & 0xfe]
  if (!frame.link) {
    const name = (point: number, kind: string) => points[point] ?? `Unknown ${kind} ${hex(point, 2)}`
    const source = from === to ? '' : ` ${name(from, 'SSAP')}`
    frame.print(`${frame.mac(header + 6)}${source} > ${frame.mac(header)} ${name(to, 'DSAP')} `)
  }
  const length = `length ${end - at}`
  if ((control & 3) === 3) {
    const flags = flagsText(response, (control & 0x10) !== 0)
    frame.print(`Unnumbered, ${commands[control & ~0x10] ?? hex(control)}, Flags [${flags}], ${length}`)
    return
  }
  const flags = flagsText(response, (control & 0x100) !== 0)
  const received = control >> 9
  if ((control & 1) === 0) {
    frame.print(
      `Information, send seq ${(control >> 1) & 127}, rcv seq ${received}, Flags [${flags}], ${length}`,
    )
  } else {
    const kind = ['Receiver Ready', 'Receiver not Ready', 'Reject'][(control >> 2) & 3] ?? '?'
    frame.print(`Supervisory, ${kind}, rcv seq ${received}, Flags [${flags}], ${length}`)
  }
}

const commands: Readonly<Record<number, string>> = {
  3: 'ui',
  15: 'dm',
  67: 'disc',
  99: 'ua',
  111: 'sabme',
  135: 'frmr',
  175: 'xid',
  227: 'test',
}

function flagsText(response: boolean, poll: boolean): string {
  if (response) return poll ? 'Final' : 'Response'
  return poll ? 'Poll' : 'Command'
}

const organizations: Readonly<Record<number, string>> = {
  0: 'Ethernet',
  12: 'Cisco',
  248: 'Cisco bridged',
  32962: 'RFC2684',
}

function snapText(frame: Dissection, at: number, end: number, header: number): void {
  frame.need(at, 5, 'snap', end)
  const organization = frame.u24(at)
  const type = frame.u16(at + 3)
  const ethernet = organization === 0
  const name = `oui ${organizations[organization] ?? 'Unknown'} (${hex(organization, 6)})`
  const known = ethernet ? etherTypeName(type) : undefined
  const what = `${name}, ${ethernet ? 'ethertype' : 'pid'} ${known ?? 'Unknown'} (${hex(type, 4)}), length ${end - at - 5}: `
  if (frame.link) frame.print(what)
  if (ethernet && frame.payload(type, at + 5, end)) return
  if (!frame.link) frame.print(`${frame.mac(header + 6)} > ${frame.mac(header)} SNAP, ${what}`)
}

const stpVersions: Readonly<Record<number, string>> = { 0: '802.1d', 2: '802.1w', 3: '802.1s', 4: '802.1aq' }
const [CONFIGURATION, TOPOLOGY_CHANGE, RAPID] = [0x00, 0x80, 0x02]
/** Bits 2 and 3 of a rapid spanning tree's flags are the port's role. */
const stpFlags = [
  'Topology change',
  'Proposal',
  '',
  '',
  'Learn',
  'Forward',
  'Agreement',
  'Topology change ACK',
]

function stpText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 4, 'stp', end)
  const [version, type] = [frame.u8(at + 2), frame.u8(at + 3)]
  frame.print(`STP ${stpVersions[version] ?? `Unknown STP protocol (${hex(version, 2)})`}, `)
  if (type === TOPOLOGY_CHANGE) {
    frame.print('Topology Change')
    return
  }
  if (type !== CONFIGURATION && type !== RAPID) {
    frame.print(`Unknown BPDU type (${hex(type, 2)})`)
    return
  }
  frame.print(type === RAPID ? 'Rapid STP' : 'Config')
  frame.need(at, 35, 'stp', end)
  const value = frame.u8(at + 4)
  const flags = stpFlags.filter((name, i) => name && value & (1 << i)).join(', ') || 'none'
  const bridge = `${frame.hex(at + 17, 2)}.${frame.mac(at + 19)}.${frame.hex(at + 25, 2)}`
  frame.print(`, Flags [${flags}], bridge-id ${bridge}, length ${end - at}`)
}
