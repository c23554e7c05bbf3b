import { describe, expect, it } from 'vitest'
import { startChild } from '../../bench/harness/child.js'

const node = (script: string) => startChild(process.execPath, ['-e', script])

const adder = `
  console.log('ready')
  require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
    if (line === 'die') { console.error('out of luck'); process.exit(3) }
    console.log(JSON.stringify(line.split(' ').map(Number)))
  })`

describe('a child that answers lines', () => {
  it('answers request by request and ends with its input', async () => {
    const child = await node(adder)
    expect(await child.request('1 2')).toEqual([1, 2])
    expect(await child.request('3.5')).toEqual([3.5])
    await child.close()
    await child.close()
  })

  it('that dies fails the request with its exit code and what it said', async () => {
    const child = await node(adder)
    await expect(child.request('die')).rejects.toThrow(/ended with exit code 3: out of luck/)
    await expect(child.close()).rejects.toThrow(/exit code 3/)
  })

  it('that does not begin with ready is refused', async () => {
    await expect(node('console.log("hello"); process.stdin.resume()')).rejects.toThrow('began with hello')
    await expect(node('process.exit(4)')).rejects.toThrow('exit code 4')
  })

  it('that does not exist is refused', async () => {
    await expect(startChild('/nonexistent/peer', [])).rejects.toThrow('ENOENT')
  })
})
