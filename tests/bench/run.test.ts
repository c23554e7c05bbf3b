import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { spawnSync } from '../beds/child.js'

const script = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url))
const run = (...args: string[]) => spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' })

describe('npm run bench', () => {
  it('lists every benchmark with what it compares', () => {
    const { status, stdout, stderr } = run()
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    const lines = stdout.trimEnd().split('\n')
    for (const domain of ['verbs', 'ethernet']) {
      const files = readdirSync(fileURLToPath(new URL(`../../bench/${domain}`, import.meta.url)))
      for (const file of files) {
        const line = lines.find((text) => text.startsWith(`${domain}/${file.replace(/\.ts$/, '')} `))
        expect(line, file).toMatch(/^\S+ +\S.{20,}$/)
      }
    }
    expect(lines.some((line) => /harness|peers/.test(line.split(' ')[0]))).toBe(false)
  })

  it.each([
    [['verbs/nothing'], 'there is no benchmark verbs/nothing'],
    [['verb'], 'there is no benchmark verb;'],
    [['verbs/latency', '--rounds', '19'], '--rounds must be an integer of at least 20, not 19'],
    [['verbs/latency', '--rounds', 'many'], 'not many'],
    [['verbs/latency', '--device', 'a,b,c'], 'a device, or two'],
    [['verbs/latency', '--faster'], '--faster'],
  ])('refuses %j', (args, message) => {
    const { status, stdout, stderr } = run(...args)
    expect(stderr).toContain(message)
    expect(stderr).toContain('usage: npm run bench')
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  })
})
