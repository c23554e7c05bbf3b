import { describe, expect, it } from 'vitest'
import { parseStat, processorTime } from './processor-time.mjs'

describe('processor time', () => {
  it.each(['node', 'a b', 'a) S 1 (b', ')', ''])('is read behind the name (%s)', (name) => {
    // Fields 3 to 20: utime, stime, cutime and cstime are 14 to 17.
    const text = `7 (${name}) S 1 7 7 0 -1 4194560 10 20 30 40 150 25 3000 4 20 0\n`
    expect(parseStat(text)).toEqual({ own: 1.75, children: 30.04 })
  })

  it('of this process is what getrusage(2) counts', () => {
    const seconds = () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    }
    const before = seconds()
    const { own } = processorTime()
    // Two fields, each rounded down to ticks of 10 ms.
    expect(own).toBeGreaterThan(before - 0.02)
    expect(own).toBeLessThanOrEqual(seconds())
  })

  it('of a process that does not exist is an error', () => {
    expect(() => processorTime(2 ** 22 + 1)).toThrow('ENOENT') // above PID_MAX_LIMIT
  })
})
