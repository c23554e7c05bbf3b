/** The package as its users load it. Needs no device. */
import * as ibverbs from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { native } from '../../dist/native.js'
import { node } from '../beds/process.js'

describe('the package', () => {
  it('loads with import, and with require(), as one and the same', async () => {
    const ended = await node(`
      import { createRequire } from 'node:module'
      import * as imported from 'ibverbs'
      const required = createRequire(process.cwd() + '/x.js')('ibverbs')
      const names = Object.keys(imported)
      console.log(JSON.stringify({
        same: names.every((name) => required[name] === imported[name]) && Object.keys(required).length === names.length,
        classes: names.filter((name) => /^[A-Z]/.test(name) && imported[name].prototype?.constructor === imported[name]),
      }))`)
    expect(JSON.parse(ended.stdout)).toEqual({
      same: true,
      classes: [
        'AddressHandle',
        'Arena',
        'CompletionQueue',
        'Context',
        'Flow',
        'MemoryRegion',
        'ProtectionDomain',
        'QueuePair',
        'VerbsError',
      ],
    })
  })

  it('keeps no process alive', async () => {
    const ended = await node("import 'ibverbs'; import 'ibverbs/ethernet'; console.log('loaded')")
    expect(ended).toEqual({ code: 0, signal: null, stdout: 'loaded\n', stderr: '' })
  })

  it('gains nobody a handle by calling a constructor that TypeScript calls private', () => {
    const { AddressHandle, CompletionQueue, Flow, MemoryRegion, QueuePair } = ibverbs
    for (const type of [AddressHandle, CompletionQueue, Flow, MemoryRegion, QueuePair]) {
      const construct = type as unknown as new (...garbage: unknown[]) => { close(): void; closed: boolean }
      for (const garbage of [
        [],
        [1, 2, 3, 4, 5],
        [{}, {}, {}, {}, {}],
        [{}, 0x100000, 1, 1, new Uint32Array(16)],
      ]) {
        expect(() => {
          const made = new construct(...garbage)
          if (!made.closed) return
          made.close()
          throw new TypeError('it is closed')
        }).toThrow(TypeError)
      }
    }
    expect(native.handleCount()).toBe(0)
  })
})

describe('without libibverbs', () => {
  // dlopen's search finds first a file of the library's name that is no library.
  const script = `
    import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
    import { spawnSync } from 'node:child_process'
    const folder = mkdtempSync('/tmp/ibverbs-nolib-')
    writeFileSync(folder + '/libibverbs.so.1', 'not a library')
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', process.env.SCRIPT], {
      env: { ...process.env, LD_LIBRARY_PATH: folder }, encoding: 'utf8',
    })
    rmSync(folder, { recursive: true })
    process.stdout.write(stdout); process.stderr.write(stderr)`

  it.each(['listDevices()', 'open()', "open('mlx5_0')"])(
    '%s says what is missing and what brings it',
    async (call) => {
      const SCRIPT = `
      import { libibverbsPath, listDevices, open } from 'ibverbs'
      try { ${call} } catch ({ name, code, errno, syscall, message }) {
        console.log(JSON.stringify({ name, code, errno, syscall, message, path: libibverbsPath() }))
      }`
      const ended = await node(script, { env: { SCRIPT } })
      expect(ended.stderr).toBe('')
      const error = JSON.parse(ended.stdout)
      expect(error).toMatchObject({
        name: 'VerbsError',
        code: 'ENOSYS',
        errno: -38,
        syscall: 'dlopen',
        path: null,
      })
      expect(error.message).toMatch(/^ENOSYS: dlopen: .*libibverbs\.so\.1/)
      expect(error.message).toContain('apt-get install libibverbs1 ibverbs-providers')
    },
  )

  it('arenas work', async () => {
    const SCRIPT = `
      import { Arena } from 'ibverbs'
      console.log(Arena.allocate(5000).byteLength)`
    expect((await node(script, { env: { SCRIPT } })).stdout).toBe('5000\n')
  })
})

describe('open', () => {
  it('of a device that nobody has is ENODEV and says what to do', () => {
    expect(() => ibverbs.open('no-such-device')).toThrow(
      expect.objectContaining({ name: 'VerbsError', code: 'ENODEV', errno: -19, syscall: 'ibv_open_device' }),
    )
    expect(() => ibverbs.open('no-such-device')).toThrow(
      ibverbs.listDevices().length > 0
        ? `no device "no-such-device": there are ${ibverbs.listDevices()[0].name}`
        : 'no device "no-such-device", nor any other: a software ConnectX is there at once, with IBVERBS_SOFT=loop or ' +
            "softConnectX() of 'ibverbs/soft'; or load a driver, or make a SoftRoCE device with 'modprobe rdma_rxe; rdma link add rxe0 type rxe netdev eth0'; 'ibverbs doctor' tells more",
    )
  })

  it.each([5, null, true, {}, 1n, Symbol('name'), ['rxe0']])(
    'of %s is a TypeError that names the argument',
    (name) => {
      expect(() => ibverbs.open(name as never)).toThrow(
        expect.objectContaining({
          name: 'TypeError',
          code: 'ERR_INVALID_ARG_TYPE',
          message: expect.stringMatching(/^"name" must be a string, not /),
        }),
      )
    },
  )
})
