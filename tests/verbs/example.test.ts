import { expect, test } from 'vitest'
import { execute } from '../beds/child.js'
import { names } from '../beds/rxe.js'

test('docs/examples/rc-ping.mjs, as the README shows it', async () => {
  const { stdout } = await execute(process.execPath, ['docs/examples/rc-ping.mjs', ...names])
  expect(stdout).toBe(
    `${names[1]} received SUCCESS "hello, RDMA" (cookie 1)\n${names[0]} completed SEND SUCCESS\n`,
  )
})
