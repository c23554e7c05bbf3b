#!/usr/bin/env bash
# The npm package pcap-generator takes whole timestamps for milliseconds, others for seconds, and loses the fraction's zeros.
#
# 10.25 becomes 10 seconds and 25 microseconds, 10.5 ten seconds and 5, 10.000005 and 10.5 the same: frames that follow each
# other go backwards. A frame on a full second is taken for milliseconds and is 10 ms after 1970. What a clock in
# milliseconds with a fraction gives (performance.timeOrigin + performance.now()) is refused as too large for a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent pcap-generator@0.2.3 >/dev/null
cat >times.mjs <<'JS'
import generate from 'pcap-generator'

for (const timestamp of [10.25, 10.5, 10.000005, 11]) {
  const file = generate([{ timestamp, buffer: Buffer.from('45000014000000004011000a7f0000017f000001', 'hex') }])
  console.log(`${timestamp} s: ${file.readUInt32BE(24)} s ${file.readUInt32BE(28)} µs`)
}
try {
  generate([{ timestamp: 1700000000123.456, buffer: Buffer.alloc(20) }])
} catch (error) {
  console.log(`1700000000123.456 ms: ${error.code}`)
}
JS
seen=$(node times.mjs)
echo 'pcap-generator 0.2.3'
echo "$seen"
expected='10.25 s: 10 s 25 µs
10.5 s: 10 s 5 µs
10.000005 s: 10 s 5 µs
11 s: 0 s 11000 µs
1700000000123.456 ms: ERR_OUT_OF_RANGE'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
