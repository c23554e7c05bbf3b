import { integer, rangeError, string, typeError, uint32 } from '../../argument.js'
import { checkVersion } from '../address/endpoint.js'
import type { RemoteMemory } from '../remote-memory.js'
import { Send } from './records.js'

/** A peer's region, checked. */
export class Remote {
  readonly address: bigint
  readonly rkey: number
  readonly length: number
  /** The address as two words. */
  readonly low: number
  readonly high: number

  constructor(name: string, remote: RemoteMemory) {
    if (typeof remote !== 'object' || remote === null) throw typeError(name, 'a remote memory', remote)
    const { version, address, rkey, length } = remote
    checkVersion(`${name}.version`, version)
    if (!/^0x[0-9a-f]{1,16}$/i.test(string(`${name}.address`, address))) {
      throw rangeError(`${name}.address`, 'hexadecimal, such as 0x7f00deadb000', address)
    }
    this.address = BigInt(address)
    this.rkey = uint32(`${name}.rkey`, rkey)
    this.length = integer(`${name}.length`, length)
    this.low = Number(this.address & 0xffffffffn)
    this.high = Number(this.address >> 32n)
  }

  /** Writes address + offset as two words. */
  write(words: Uint32Array, at: number, offset: number): void {
    // The low word may carry: the sum is below 2^53, and so exact.
    const low = this.low + offset
    words[at + Send.rkey] = this.rkey
    words[at + Send.remoteLow] = low >>> 0
    words[at + Send.remoteHigh] = (this.high + Math.floor(low / 0x100000000)) >>> 0
  }

  check(offset: number, length: number): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && length <= this.length - offset) return
    if (typeof offset !== 'number') throw typeError('remoteOffset', 'a number', offset)
    throw rangeError(
      'remoteOffset',
      `such that ${length} bytes lie in the ${this.length} of the peer`,
      offset,
    )
  }
}
