import { realpathSync } from 'node:fs'
import { libibverbsPath } from 'ibverbs'
import { describe, expect, test } from 'vitest'
import { ip, requireOwnNamespace } from '../beds/veth.js'
import { main, Running } from '../cli/run.js'

requireOwnNamespace()
// A packet queue opens on an interface that is up.
ip('link', 'set', 'lo', 'up')

interface Check {
  name: string
  status: string
  detail: string
  remedy?: string
}

const find = (checks: Check[], name: string) => checks.find((check) => check.name === name)

describe('without capabilities', () => {
  test('doctor names the missing capabilities and the remedy, and reports that nothing works', async () => {
    const command = ['--bounding-set=-all', process.execPath, main, 'doctor', '--json']
    const { code, stdout, stderr } = await new Running('setpriv', command).finished
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    const { ok, works, checks } = JSON.parse(stdout)
    expect({ ok, works }).toEqual({ ok: false, works: { ethernet: false, verbs: false } })
    for (const name of ['CAP_NET_RAW', 'CAP_NET_ADMIN', 'CAP_BPF', 'CAP_IPC_LOCK']) {
      expect(find(checks, name)).toMatchObject({
        status: 'warn',
        remedy: expect.stringContaining(name.toLowerCase()),
      })
    }
    expect(find(checks, 'raw frames')).toMatchObject({
      status: 'missing',
      detail: expect.stringMatching(/^EPERM: socket/),
      remedy: expect.stringContaining('CAP_NET_RAW'),
    })
  })
})

describe('without libibverbs', () => {
  /**
   * In a mount namespace of its own, where the library is an empty file: dlopen(3) fails as if the library were
   * missing.
   */
  const without = (...args: string[]) => {
    const library = realpathSync(libibverbsPath() as string)
    const script = `mount --bind /dev/null ${library} && exec "$@"`
    const command = ['--mount', 'sh', '-c', script, 'sh', process.execPath, main, ...args]
    return new Running('unshare', command).finished
  }

  test('doctor names the package, and raw frames still work', async () => {
    const { code, stdout, stderr } = await without('doctor', '--json')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const { works, checks } = JSON.parse(stdout)
    expect(works).toEqual({ ethernet: true, verbs: false })
    expect(find(checks, 'libibverbs')).toMatchObject({
      status: 'missing',
      remedy: expect.stringContaining('apt-get install libibverbs1'),
    })
  })

  test.each([[['devices']], [['ping', '127.0.0.1']]])(
    'ibverbs %j says why it cannot work, and what mends it',
    async (args) => {
      const { code, stdout, stderr } = await without(...args)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(new RegExp(`^ibverbs ${args[0]}: ENOSYS: dlopen.*apt-get install libibverbs1`))
    },
  )
})
