// Opens its control socket, prints where, and ends in the way that its first word says; without one by itself.
import { Worker } from 'node:worker_threads'
import { control } from 'ibverbs'

const way = process.argv[2]
const socket = await control()
const ends = {
  exit: () => process.exit(0),
  exception: () => {
    throw new Error('on purpose')
  },
  close: () => socket.close(),
  // Says so first, and then looks up no more.
  busy: () => {
    for (;;);
  },
  idle: () => setInterval(() => {}, 1000),
  worker() {
    const text =
      "import('ibverbs').then(({ control }) => control()).then(({ path }) => { " +
      "require('node:worker_threads').parentPort.postMessage(path); setInterval(() => {}, 1000) })"
    const worker = new Worker(text, { eval: true })
    worker.once('message', (path) => {
      process.stdout.write(`${path}\n`)
      process.once('SIGUSR2', async () => {
        await worker.terminate()
        process.stdout.write('terminated\n')
      })
    })
    setInterval(() => {}, 1000)
  },
}
process.stdout.write(`${socket.path}\n`, () => ends[way]?.())
