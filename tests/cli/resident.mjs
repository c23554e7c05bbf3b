// A process that runs the command line repeatedly for its parent, where a Node process takes seconds to start.
//
// Parent → { args } for a run, { signal } during it; back { stdout } and { stderr } as they arrive, { code } at the end.
import { EventEmitter } from 'node:events'
import { Writable } from 'node:stream'
import { main } from '../../dist/cli/program.js'
import { Session } from '../../dist/cli/session.js'

let signals

/** A stream whose output goes to the parent; a write completes when the parent has it. */
const told = (name) =>
  new Writable({
    write(chunk, _, done) {
      process.send({ [name]: chunk.toString('base64') }, done)
    },
  })

process.on('message', async ({ args, signal }) => {
  if (signal) return signals?.emit(signal, signal)
  signals = new EventEmitter()
  const around = Object.assign(signals, { stdout: told('stdout'), stderr: told('stderr'), env: process.env })
  const session = new Session(around)
  process.send({ code: await session.end(await main(args, session)) })
})
// The parent has exited.
process.on('disconnect', () => process.exit())
