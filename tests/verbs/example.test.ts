import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('docs/examples/rc-ping.mjs, as the README shows it', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    'docs/examples/rc-ping.mjs',
    'rxe0',
    'rxe1',
  ])
  expect(stdout).toBe('rxe1 received SUCCESS "hello, RDMA" (cookie 1)\nrxe0 completed SEND SUCCESS\n')
})
