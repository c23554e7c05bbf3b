import { expect, test } from 'vitest'
import { spawn } from './child.js'
import { gone } from './over/processes.js'

test('a run that npm started ends when npm does, which passes no signal on', async () => {
  const run = `
    const { whenParentEnds } = await import('./tests/beds/parent.mjs')
    whenParentEnds(() => process.exit())
    console.log(process.pid)
    setInterval(() => {}, 1000)
  `
  const shell = spawn('sh', ['-c', '"$0" --input-type=module --eval "$1" & wait', process.execPath, run])
  const pid = await new Promise<number>((resolve) => {
    shell.stdout.once('data', (text) => resolve(Number(text)))
  })
  shell.kill('SIGKILL')
  await gone([pid])
  expect(pid).toBeGreaterThan(0)
})
