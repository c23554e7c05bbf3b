/**
 * Memory that the software NIC may not touch, and the signals by which it learns that: every other fault stays with its
 * own handler.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execFileSync, spawnSync } from '../beds/child.js'
import { buildEngine } from './engine/build.js'

const source = readFileSync(join(import.meta.dirname, 'engine/fault_program.cc'), 'utf8')
const library = join(import.meta.dirname, '../../build/Release/libibverbs_soft.so')

describe('with libibverbs alone', () => {
  let program: string
  beforeAll(() => {
    program = buildEngine('fault_program')
  }, 300_000)

  test.each([...source.matchAll(/^TEST\((\w+)\)/gm)].map((match) => match[1]!))('%s', (name) => {
    const env = { ...process.env, IBVERBS_SOFT: 'loop', LD_PRELOAD: library }
    const { stdout, stderr, signal } = spawnSync(program, [name], { encoding: 'utf8', env })
    expect({ stdout, stderr, signal }).toEqual({ stdout: `ok ${name}\n`, stderr: '', signal: null })
  })
})

/** A device that writes to itself: `write()` does one more write. */
const traffic = `
  import { Worker } from 'node:worker_threads'
  import { open } from 'ibverbs'
  const context = open()
  const domain = context.allocateProtectionDomain()
  const cq = context.createCompletionQueue(64)
  const memory = domain.registerMemory(4096, { access: ['LOCAL_WRITE', 'REMOTE_WRITE'] })
  const pair = domain.createQueuePair({ type: 'RC', cq, maxSendWr: 16, maxReceiveWr: 16 })
  pair.connect(pair.endpoint)
  const request = pair.prepareWrite({ memory, remote: memory.remote })
  let writes = 0
  const write = () => {
    request.post(1, 0, 64)
    pair.submit()
    while (cq.poll() === 0) continue
    if (cq.status[0] !== 0) throw new Error('write ' + writes + ' ended with ' + cq.statusName(0))
    writes++
  }
  // (module (memory 1) (func (export "load") (param i32) (result i32) local.get 0 i32.load))
  const bytes = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 8, 1, 4, 108, 111, 97,
    100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11,
  ])
  const outOfBounds = (between) => {
    const { load } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports
    const names = new Set()
    for (let i = 0; i < 200; i++) {
      between()
      try {
        load(i % 2 === 0 ? 65536 : -8)
        names.add('none')
      } catch (error) {
        names.add(error.constructor.name + ': ' + error.message)
      }
    }
    return [...names]
  }
`

function run(script: string, file?: string) {
  const env = { ...process.env, IBVERBS_SOFT: 'loop', FILE: file }
  const { stdout, stderr, signal } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', traffic + script],
    {
      encoding: 'utf8',
      env,
    },
  )
  return { stdout, stderr, signal }
}

describe('in Node, with traffic', () => {
  test('a WebAssembly load out of bounds is a RuntimeError in the main thread', () => {
    expect(run(`console.log(outOfBounds(write), writes); context.close()`)).toEqual({
      stdout: `[ 'RuntimeError: memory access out of bounds' ] 200\n`,
      stderr: '',
      signal: null,
    })
  })

  test('and in a worker', () => {
    const script = `
      const text = 'const bytes = new Uint8Array([' + bytes + ']); const outOfBounds = ' + outOfBounds +
        '; import("node:worker_threads").then(({ parentPort }) => parentPort.postMessage(outOfBounds(() => {})))'
      const worker = new Worker(text, { eval: true })
      let names
      worker.on('message', (message) => { names = message })
      const step = () => {
        write()
        if (names === undefined) return setImmediate(step)
        console.log(names, writes > 0)
        context.close()
      }
      step()
    `
    expect(run(script)).toEqual({
      stdout: `[ 'RuntimeError: memory access out of bounds' ] true\n`,
      stderr: '',
      signal: null,
    })
  })

  describe('a wild pointer', () => {
    const folder = mkdtempSync(join(tmpdir(), 'wild-'))
    afterAll(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'wild.node')
    beforeAll(() => {
      const code = join(folder, 'wild.c')
      writeFileSync(
        code,
        '__attribute__((constructor)) static void wild(void) { *(volatile int *)64 = 1; }\n',
      )
      execFileSync('cc', ['-shared', '-fPIC', '-o', file, code])
    })

    test.each(['', 'memory wanted'])('ends the process with SIGSEGV %s', (wanted) => {
      const before = wanted === '' ? 'write()' : `console.log(outOfBounds(write).length)`
      const ended = run(`${before}; process.dlopen({ exports: {} }, process.env.FILE)`, file)
      expect(ended).toMatchObject({ signal: 'SIGSEGV' })
    })
  })
})
