import { constants } from 'node:os'
import { inspect } from 'node:util'
import { VerbsError } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { integer, oneOf, rangeError, typeError, uint32 } from '../../dist/argument.js'
import { closedError, verbsError } from '../../dist/errors.js'
import { memlockLimit } from '../../dist/remedy.js'
import { spawnSync } from '../beds/child.js'
import { node, thrownBy } from '../beds/process.js'

describe('VerbsError', () => {
  it('is what Node’s own system errors are', () => {
    const error = new VerbsError(22, 'ibv_modify_qp', 'RESET → RTS')
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({
      name: 'VerbsError',
      code: 'EINVAL',
      errno: -22,
      syscall: 'ibv_modify_qp',
      message: 'EINVAL: ibv_modify_qp: RESET → RTS',
    })
    expect(error.cookie).toBeUndefined()
    expect('cookie' in error).toBe(false)
    expect(inspect(error)).toContain('VerbsError: EINVAL: ibv_modify_qp: RESET → RTS')
    expect(new VerbsError(22, 'ibv_modify_qp').message).toBe('EINVAL: ibv_modify_qp')
  })

  it('names every errno of this system', () => {
    for (const number of Object.values(constants.errno)) {
      const { code, errno } = new VerbsError(number, 'x')
      expect(errno).toBe(-number)
      // libuv names one differently: ENOTSUP for EOPNOTSUPP.
      expect([constants.errno[code as keyof typeof constants.errno], code]).toEqual([number, code])
    }
    expect(new VerbsError(9999, 'x').code).toBe('errno 9999')
    expect(verbsError('ENODEV', 'y', 'z')).toMatchObject({ errno: -19, message: 'ENODEV: y: z' })
  })

  it('says what mends it where that is known', () => {
    expect(new VerbsError(constants.errno.ENOMEM, 'ibv_reg_mr', '4096 bytes').message).toBe(
      `ENOMEM: ibv_reg_mr: 4096 bytes (locked memory is limited to ${memlockLimit()}: raise it with ` +
        "'ulimit -l unlimited', LimitMEMLOCK=infinity (systemd) or memlock in /etc/security/limits.conf)",
    )
    expect(new VerbsError(constants.errno.ENOMEM, 'ibv_create_cq').message).toBe('ENOMEM: ibv_create_cq')
  })
})

describe('memlockLimit', () => {
  it.each([
    [65536, '64 KiB'],
    [1536, '1.5 KiB'],
    [8 << 20, '8192 KiB'],
  ])('of %i bytes is %s', async (bytes, words) => {
    const script = "import { memlockLimit } from './dist/remedy.js'; console.log(memlockLimit())"
    const { stdout } = spawnSync(
      'prlimit',
      [`--memlock=${bytes}:${bytes}`, process.execPath, '--input-type=module', '-e', script],
      { encoding: 'utf8', cwd: new URL('../..', import.meta.url) },
    )
    expect(stdout).toBe(`${words}\n`)
  })
})

describe('closedError', () => {
  it('has its code', () => {
    expect(closedError('queue pair')).toMatchObject({
      name: 'Error',
      code: 'ERR_IBVERBS_CLOSED',
      message: 'the queue pair is closed',
    })
  })
})

describe('argument errors', () => {
  it('name the argument, what it must be and what it was', () => {
    expect(typeError('x', 'a number', 'five')).toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_TYPE',
      message: '"x" must be a number, not \'five\'',
    })
    expect(rangeError('x', 'less', 2 ** 53)).toMatchObject({
      name: 'RangeError',
      code: 'ERR_OUT_OF_RANGE',
      message: '"x" must be less, not 9007199254740992',
    })
    expect(thrownBy(() => uint32('x', 2 ** 32)).message).toBe(
      '"x" must be an integer from 0 to 4294967295, not 4294967296',
    )
    expect(thrownBy(() => integer('x', 1n)).message).toBe('"x" must be a number, not 1n')
    expect(thrownBy(() => oneOf('x', 'c', ['a', 'b'])).message).toBe('"x" must be one of a, b, not \'c\'')
  })

  it('do not fail over what they describe', () => {
    const hostile = {
      get [inspect.custom]() {
        throw new Error('no inspection')
      },
    }
    for (const value of [
      hostile,
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('no get')
          },
        },
      ),
      'x'.repeat(1e6),
      Symbol('s'),
      -0,
      null,
    ]) {
      const { message } = typeError('x', 'nice', value)
      expect(message).toMatch(/^"x" must be nice, not /)
      expect(message.length).toBeLessThan(120)
    }
  })
})

describe('an exception in a callback of the binding', () => {
  it('is an uncaughtException, as one from any callback of Node’s', async () => {
    const ended = await node(
      `process.on('uncaughtException', (error) => { console.log('caught', error.message); process.exit(3) })
       setTimeout(() => { throw new Error('on purpose') })
       await import('ibverbs')`,
    )
    expect([ended.code, ended.stdout]).toEqual([3, 'caught on purpose\n'])
  })
})
