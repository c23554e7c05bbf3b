/** Frames from hexadecimal text: of the command line, of files and of standard input. */
import { addAbortSignal } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { debuglog } from 'node:util'
import { headerLength, minimumFrameLength } from '../../headers/ethernet.js'
import { parseHex } from '../hex.js'
import { readAll } from '../input.js'
import { UsageError } from '../usage.js'
import { framesOfDump, isDump } from './hex-dump.js'

const debug = debuglog('ibverbs')

/**
 * Reads files and standard input without blocking the process: Ctrl-C must end it, whatever the other end of a pipe does.
 */
export async function readText(file: string | undefined, signal: AbortSignal): Promise<string> {
  if (file !== undefined && file !== '-') return decode(await readAll(file, signal))
  if (file === undefined && process.stdin.isTTY) {
    throw new UsageError('no frame: give HEX, --file, or text on standard input')
  }
  debug('reading standard input')
  return decode(await buffer(addAbortSignal(signal, process.stdin)))
}

/** Decodes text by its byte order mark; without one, only ASCII matters here. */
function decode(bytes: Buffer): string {
  const mark = bytes.toString('hex', 0, 3)
  if (mark.startsWith('fffe')) return bytes.toString('utf16le', 2)
  if (mark.startsWith('feff'))
    return bytes
      .subarray(2, bytes.length & ~1)
      .swap16()
      .toString('utf16le')
  return bytes.toString('latin1', mark === 'efbbbf' ? 3 : 0)
}

/** Parses the operands as one frame. */
export function framesOfArguments(hex: string): Uint8Array[] {
  if (!isDump(hex)) return [frameOf(hex, 'HEX')]
  const frames = framesOfDumpText(hex, 'HEX')
  if (frames.length > 1) throw new UsageError(`HEX: ${frames.length} frames, and one is sent: use --file`)
  return frames
}

export function framesOf(content: string, source: string): Uint8Array[] {
  const frames: Uint8Array[] = []
  if (isDump(content)) return framesOfDumpText(content, source)
  content.split('\n').forEach((line, i) => {
    const hex = line.replace(/#.*/, '').trim()
    if (hex !== '') frames.push(frameOf(hex, `${source}:${i + 1}`))
  })
  if (frames.length === 0) throw new UsageError(`${source}: no frame there`)
  return frames
}

function framesOfDumpText(content: string, source: string): Uint8Array[] {
  try {
    return framesOfDump(content).map(({ line, frame }) => checked(frame, `${source}:${line}`))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new UsageError(`${source}:${error.message}`)
  }
}

function frameOf(hex: string, where: string): Uint8Array {
  let frame: Uint8Array
  try {
    frame = parseHex(hex)
  } catch (error) {
    throw new UsageError(`${where}: ${(error as Error).message}`)
  }
  return checked(frame, where)
}

function checked(frame: Uint8Array, where: string): Uint8Array {
  if (frame.length < headerLength) {
    throw new UsageError(`${where}: ${frame.length} bytes are no frame: the header alone has ${headerLength}`)
  }
  return frame
}

export function pad(frame: Uint8Array): Uint8Array {
  if (frame.length >= minimumFrameLength) return frame
  const padded = new Uint8Array(minimumFrameLength)
  padded.set(frame)
  return padded
}
