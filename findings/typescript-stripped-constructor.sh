#!/usr/bin/env bash
# With stripInternal an @internal constructor is not hidden but opened: the declarations say that anybody may call it.
#
# The option leaves out the whole declaration, and a class without one has the default constructor: `new Handle()` compiles,
# and at run time the constructor runs without its arguments. What nobody is to construct needs a private constructor.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent typescript@5.9.3 >/dev/null
mkdir lib user
cat >lib/handle.ts <<'TS'
export class Handle {
  readonly id: number
  /** @internal */
  constructor(handle: { id: number }) {
    this.id = handle.id
  }
}
TS
npx tsc --declaration --stripInternal --module nodenext --outDir dist lib/handle.ts
echo "import { Handle } from '../dist/handle.js'; export const made = new Handle()" >user/good.ts
compiles=$(npx tsc --noEmit --strict --module nodenext user/good.ts && echo yes || echo no)
runs=$(node --eval "const { Handle } = require('./dist/handle.js'); try { new Handle(); console.log('yes') } catch (error) { console.log(error.constructor.name) }")
seen="TypeScript $(npx tsc --version | cut -d' ' -f2): new Handle() compiles: $compiles, runs: $runs"
echo "$seen"
cat dist/handle.d.ts
expected='TypeScript 5.9.3: new Handle() compiles: yes, runs: TypeError'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
