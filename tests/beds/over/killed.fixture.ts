import { test } from 'vitest'
import { startTwo } from './processes.js'

test('is killed with its process', () => {
  startTwo('killed')
  process.kill(process.pid, 'SIGKILL')
})
