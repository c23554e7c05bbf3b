import { expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'

test('the example of a queue pair with a driver in TypeScript runs as the README shows it', () => {
  const run = () =>
    execFileSync(process.execPath, ['docs/examples/rc-mlx5.mjs'], {
      encoding: 'utf8',
      env: { ...process.env, IBVERBS_SOFT: 'loop' },
    })
  const lines = run().trimEnd().split('\n')
  // A send and a receive complete in queues of their own order.
  expect(lines.slice(0, -1).sort()).toEqual(['1 RECV SUCCESS', '2 SEND SUCCESS', '3 FETCH_ADD SUCCESS'])
  expect(lines.at(-1)).toBe('received "by hand", counted 42')
})
