/** Counts the frames of `ibverbs generate`: `dump --check`. */
import { jsonText } from '../json.js'
import type { Session } from '../session.js'
import { SequenceCheck } from '../traffic/sequence-check.js'
import { checkJson, checkText } from '../traffic/text.js'
import type { FrameSink, SeenFrame } from './frame-sink.js'

export class CheckSink implements FrameSink {
  readonly #session: Session
  readonly #json: boolean
  readonly #check = new SequenceCheck()

  constructor(session: Session, json: boolean) {
    this.#session = session
    this.#json = json
  }

  take({ memory, offset, length, seconds, nanoseconds }: SeenFrame): boolean {
    this.#check.take(memory, offset, offset + length, seconds, nanoseconds)
    return true
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    const totals = this.#check.totals()
    if (this.#json) {
      this.#session.print(jsonText({ ...checkJson(totals, this.#check), unit: 'us' }))
      return
    }
    for (const line of checkText(totals, this.#check)) this.#session.print(line)
    if (totals.foreign > 0) this.#session.print(`${totals.foreign} were not of 'ibverbs generate'`)
  }
}
