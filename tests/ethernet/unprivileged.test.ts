/** Packet queues without any privilege: in the process's own user and network namespace. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { command, programPath } from './program.js'

/** Runs Node as an unprivileged user in its own namespaces; a privileged process drops its privileges first. */
function unprivileged(...words: string[]): Promise<{ code: number | null; output: string }> {
  const privileged = readFileSync('/proc/self/uid_map', 'latin1').trim().split(/\s+/)[2] !== '1'
  const drop = [
    'setpriv',
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
  ]
  const own = ['unshare', '-Urn', process.execPath, ...words]
  const [file, ...rest] = privileged && process.getuid?.() === 0 ? [...drop, ...own] : own
  return command(file, ...rest)
}

test('frames both ways in an unprivileged user namespace', async () => {
  const { code, output } = await unprivileged(programPath('unprivileged.mjs'))
  expect(code, output).toBe(0)
  // 31 sizes both ways, 32 frames of each, without their headers
  const bytes = 2 * 32 * Array.from({ length: 31 }, (_, i) => i * 50).reduce((a, b) => a + b)
  expect(JSON.parse(output)).toEqual({
    checked: bytes,
    received: 31 * 32,
    dropped: 0,
    transmitted: 31 * 32,
    mappedUsers: 1,
  })
}, 30_000)
