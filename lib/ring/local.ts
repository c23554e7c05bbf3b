import { Consumer, Producer } from './ring.js'

/**
 * A producer whose consumer is the binding, which reads the ring in this thread, when it is called: plain loads and
 * stores suffice for the hand-over, and an atomic store costs ten times more.
 */
export class LocalProducer extends Producer {
  protected override get local(): boolean {
    return true
  }

  override publish(): void {
    this.words[this.producer] = this.position[0]
  }

  override outstanding(): number {
    return (this.position[0] - this.words[this.consumer]) >>> 0
  }
}

/** A consumer whose producer is the binding: see {@link LocalProducer}. */
export class LocalConsumer extends Consumer {
  protected override get local(): boolean {
    return true
  }

  override available(): number {
    const count = (this.words[this.producer] - this.position[0]) >>> 0
    return count <= this.mask + 1 ? count : 0
  }

  override consume(count: number): void {
    this.position[0] += count
    this.words[this.consumer] = this.position[0]
  }
}
