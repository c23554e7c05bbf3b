import { Control, controlWords, receiveWords, sendWords } from './records.js'
import { RequestRing } from './ring.js'

/** What a queue pair shares with the binding: its control words and its two rings. */
export class RequestRings {
  readonly control: Uint32Array<SharedArrayBuffer>
  readonly send: RequestRing
  readonly receive: RequestRing

  /** @param sizes requests of each ring, and scatter/gather elements of each request */
  constructor(sizes: { maxSendWr: number; maxReceiveWr: number; maxSendSge: number; maxReceiveSge: number }) {
    const { maxSendWr, maxReceiveWr, maxSendSge, maxReceiveSge } = sizes
    this.control = new Uint32Array(new SharedArrayBuffer(controlWords * 4))
    this.send = new RequestRing(maxSendWr, sendWords(maxSendSge), this.control, Control.sendOutstanding)
    this.receive = new RequestRing(
      maxReceiveWr,
      receiveWords(maxReceiveSge),
      this.control,
      Control.receiveOutstanding,
    )
  }
}
