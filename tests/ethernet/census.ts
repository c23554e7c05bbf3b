/** The resources that a test program held before and after. */
import { expect } from 'vitest'
import { command, programPath } from './program.js'

/**
 * Each in a process of its own, where no other code opens descriptors. glibc's malloc gets a fixed mmap threshold:
 * otherwise it raises the threshold after the first freed arena and takes the next one from its heap, which does not
 * shrink (mallopt(3)).
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
