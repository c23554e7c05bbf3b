/** SCTP (RFC 9260) in tcpdump's words: the fields of the chunks that open an association or carry data. */
import { type Dissection, hex } from './dissection.js'

const headerLength = 12

export function sctpText(frame: Dissection, from: number, end: number): void {
  frame.need(from, 4, 'sctp', end)
  frame.print('sctp')
  if (end - from === headerLength) return
  frame.need(from, headerLength, 'sctp', end)
  let number = 0
  for (let at = from + headerLength; at < end; ) {
    frame.need(at, 4, 'sctp', end)
    const [type, length] = [frame.u8(at), frame.u16(at + 2)]
    frame.print(`${number++ === 0 ? '' : ','} (${number}) `)
    if (length < 4) {
      frame.print(`[chunk length ${length} < 4] (invalid)`)
      return
    }
    chunkText(frame, at, type, at + length)
    at += (length + 3) & ~3
  }
}

const names: Readonly<Record<number, string>> = {
  0: 'DATA',
  1: 'INIT',
  2: 'INIT ACK',
  3: 'SACK',
  4: 'HB REQ',
  5: 'HB ACK',
  6: 'ABORT',
  7: 'SHUTDOWN',
  8: 'SHUTDOWN ACK',
  9: 'OP ERR',
  10: 'COOKIE ECHO',
  11: 'COOKIE ACK',
  12: 'ECN ECHO',
  13: 'CWR',
  14: 'SHUTDOWN COMPLETE',
  15: 'AUTH',
}

function chunkText(frame: Dissection, at: number, type: number, end: number): void {
  frame.print(`[${names[type] ?? `Unknown chunk type: ${hex(type)}`}] `)
  if (type === 0) {
    frame.need(at, 16, 'sctp', end)
    const flags = frame.u8(at + 1)
    const marks = `${flags & 4 ? '(U)' : ''}${flags & 2 ? '(B)' : ''}${flags & 1 ? '(E)' : ''}`
    if (marks) frame.print(`${marks} `)
    frame.print(`[TSN: ${frame.u32(at + 4)}] [SID: ${frame.u16(at + 8)}] [SSEQ ${frame.u16(at + 10)}] `)
    frame.print(`[PPID ${hex(frame.u32(at + 12))}] `)
  } else if (type === 1 || type === 2) {
    frame.need(at, 20, 'sctp', end)
    frame.print(`[init tag: ${frame.u32(at + 4)}] [rwnd: ${frame.u32(at + 8)}] `)
    frame.print(`[OS: ${frame.u16(at + 12)}] [MIS: ${frame.u16(at + 14)}] [init TSN: ${frame.u32(at + 16)}] `)
  } else if (type === 3) {
    frame.need(at, 16, 'sctp', end)
    frame.print(`[cum ack ${frame.u32(at + 4)}] [a_rwnd ${frame.u32(at + 8)}] `)
    frame.print(`[#gap acks ${frame.u16(at + 12)}] [#dup tsns ${frame.u16(at + 14)}] `)
  }
}
