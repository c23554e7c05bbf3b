import { fileURLToPath } from 'node:url'
import { LineChild } from '../child.js'
import type { Side } from '../compare.js'
import { End } from './end.js'
import type { PairParameters } from './parameters.js'
import { PingPong, Player } from './pingpong.js'

const script = fileURLToPath(new URL('echo-process.js', import.meta.url))

/** Ours with each end in its own process, like perftest: [p50, p99] of half a round trip, in µs. */
export async function twoProcessSide(
  parameters: PairParameters,
  count: number,
  warmup: number,
): Promise<Side> {
  const child = new LineChild(process.execPath, [script, JSON.stringify(parameters)])
  const end = new End(0, parameters)
  const close = async () => {
    end.close()
    await child.close()
  }
  const expect = async (line: string) => {
    const got = await child.line()
    if (got !== line) throw new Error(`the far end said ${got} where ${line} was due`)
  }
  try {
    const remote = JSON.parse(await child.ready())
    end.connect(remote)
    const near = new Player(end, remote)
    child.send(`connect ${JSON.stringify(end.pair.endpoint)}`)
    await expect('connected')
    const pingPong = new PingPong(near, null)
    return {
      async run() {
        child.send(`echo ${warmup + count}`)
        await expect('echoing')
        const [p50, p99] = pingPong.run(count, warmup)
        await expect('done')
        return [p50 / 2000, p99 / 2000]
      },
      close,
    }
  } catch (error) {
    await close().catch(() => {}) // the error that matters is why it did not start
    throw error
  }
}
