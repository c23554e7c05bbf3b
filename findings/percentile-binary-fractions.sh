#!/usr/bin/env bash
# The npm package percentile says of a thousand samples that the 99.9th percentile is the largest of them.
#
# Its documentation names the nearest-rank method: rank ceil(99.9 / 100 * 1000) = 999. In binary the product is
# 999.0000000000001, and the ceiling one rank too high. The same befalls the 7th, 14th, 28th, 55th and 56th of a hundred, and
# p99.9 of 10000: there it is the tail that one reads which moves. A product must be rounded before its ceiling is taken.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent percentile@1.6.0 >/dev/null
cat >ranks.mjs <<'JS'
import percentile from 'percentile'

const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1)
console.log(`of 1 to 1000: p99.9 ${percentile(99.9, upTo(1000))}, of 1 to 10000: p99.9 ${percentile(99.9, upTo(10_000))}`)
const wrong = upTo(100).filter((p) => percentile(p, upTo(100)) !== p)
console.log(`of 1 to 100: ${wrong.map((p) => `p${p} ${percentile(p, upTo(100))}`).join(', ')}`)
JS
seen=$(node ranks.mjs)
echo 'percentile 1.6.0'
echo "$seen"
expected='of 1 to 1000: p99.9 1000, of 1 to 10000: p99.9 9991
of 1 to 100: p7 8, p14 15, p28 29, p55 56, p56 57'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
