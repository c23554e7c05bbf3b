import { Control, controlWords, receiveWords, sendWords } from './records.js'
import { RequestRing } from './ring.js'

/** The memory that a queue pair shares with the binding: its control words, then its send ring, then its receive ring. */
export class RequestBlock {
  readonly words: Uint32Array
  readonly control: Uint32Array
  readonly send: RequestRing
  readonly receive: RequestRing

  /** @param sizes requests of each ring, and scatter/gather elements of each request */
  constructor(sizes: { maxSendWr: number; maxReceiveWr: number; maxSendSge: number; maxReceiveSge: number }) {
    const { maxSendWr, maxReceiveWr } = sizes
    const sendStride = sendWords(sizes.maxSendSge)
    const receiveStride = receiveWords(sizes.maxReceiveSge)
    const receives = controlWords + maxSendWr * sendStride
    this.words = new Uint32Array(new SharedArrayBuffer((receives + maxReceiveWr * receiveStride) * 4))
    this.control = this.words.subarray(0, controlWords)
    this.send = new RequestRing(
      this.words.subarray(controlWords, receives),
      this.control,
      Control.sendOutstanding,
      maxSendWr,
      sendStride,
    )
    this.receive = new RequestRing(
      this.words.subarray(receives),
      this.control,
      Control.receiveOutstanding,
      maxReceiveWr,
      receiveStride,
    )
  }
}
