/** What a program of the tests' held before and after. */
import { expect } from 'vitest'
import { command, programPath } from './program.js'

/**
 * Each in a process of its own, where nothing else opens descriptors. glibc's malloc is told to map what is large: once
 * it has seen a freed arena it would take the next from its heap, which does not shrink (mallopt(3)).
 */
export async function census(
  name: string,
  ...words: string[]
): Promise<{ before: object; after: object; frames?: number }> {
  const node = ['MALLOC_MMAP_THRESHOLD_=1048576', process.execPath, '--expose-gc']
  const { code, output } = await command('env', ...node, programPath(name), ...words)
  expect(code, output).toBe(0)
  return JSON.parse(output)
}
