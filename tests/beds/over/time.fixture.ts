import { afterAll, beforeAll, expect, test } from 'vitest'
import { onOver } from '../over.js'
import { gone, lives, say, startTwo } from './processes.js'

let ofFile: number[]
let ofTest: number[]
beforeAll(() => {
  ofFile = startTwo('file')
})

test('runs out of time', { timeout: 1 }, () => {
  ofTest = startTwo('test')
  onOver(() => say('first'))
  onOver(() => say('second'))
  return new Promise(() => {})
})

test('the next finds nothing of it, and what belongs to the file', async () => {
  await gone(ofTest)
  expect(ofFile.map(lives)).toEqual([true, true])
  say('next')
})

test('fails', () => {
  startTwo('failed')
  throw new Error('on purpose')
})

afterAll(() => {
  expect(ofFile.map(lives)).toEqual([true, true])
  say('end of the file')
})
