import { readFileSync } from 'node:fs'
import { type Access, Arena } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { native } from '../../dist/native.js'
import { execFileSync } from '../beds/child.js'
import {
  completion,
  completions,
  expectBytes,
  openToPeers,
  pattern,
  soft,
  thrownBy,
  until,
  useRxe,
} from '../beds/rxe.js'

const rxe = useRxe()

/** The /proc/self/smaps fields of the mapping that holds an address. */
function mappingOf(
  address: bigint,
): { from: bigint; to: bigint } & Record<'VmFlags' | 'AnonHugePages', string> {
  let found: [from: bigint, to: bigint] | undefined
  const fields: Record<string, string> = {}
  for (const line of readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line)
    if (head && found) break
    const [from, to] = (head?.slice(1) ?? ['0', '0']).map((text) => BigInt(`0x${text}`))
    if (from <= address && address < to) found = [from, to]
    const [, name, value] = /^(\w+): +(.*)$/.exec(line) ?? []
    if (found && name) fields[name] = value
  }
  const [from, to] = found!
  return { from, to, VmFlags: fields.VmFlags, AnonHugePages: fields.AnonHugePages }
}

/** WebAssembly.Memory with `shared`, which @types/node leaves out. */
interface WasmMemory {
  buffer: SharedArrayBuffer
  grow(pages: number): number
}

describe('registerMemory', () => {
  it('allocates page-aligned, zeroed memory of the requested size', () => {
    const domain = rxe.context().allocateProtectionDomain()
    for (const size of [1, 100, 4096, 100_000]) {
      const region = domain.registerMemory(size)
      expect(region.length).toBe(size)
      expect(region.bytes.length).toBe(size)
      expect(region.bytes.buffer).toBeInstanceOf(SharedArrayBuffer)
      expect(region.address % BigInt(native.ring.pageSize)).toBe(0n)
      expect(region.bytes.every((byte) => byte === 0)).toBe(true)
    }
  })

  it('asks for huge pages where they fit, and reports how many the kernel gave', async () => {
    const domain = rxe.context().allocateProtectionDomain()
    const region = domain.registerMemory(4 << 20, { hugePages: true })
    expect(region.address % BigInt(2 << 20)).toBe(0n)
    expect(region.length).toBe(4 << 20)
    // VmFlags of the whole mapping: proc_pid_smaps(5).
    const { from, to, VmFlags } = mappingOf(region.address)
    expect(from).toBeLessThanOrEqual(region.address)
    expect(to).toBeGreaterThanOrEqual(region.address + BigInt(region.length))
    expect(VmFlags.split(' ')).toContain('hg')
    // The kernel decides whether to use huge pages; the region reports how many it used.
    const given = () => Number.parseInt(mappingOf(region.address).AnonHugePages, 10) * 1024
    await until(() => region.arena.hugePageBytes === Math.min(given(), region.length))
    const arena = Arena.allocate(2 << 20, { hugePages: true })
    expect(domain.registerMemory(arena).arena).toBe(arena)
    expect(arena.bytes.every((byte) => byte === 0)).toBe(true)
  })

  it('describes itself to a peer as JSON', () => {
    // A region that is closed to peers has no rkey on rxe.
    const region = rxe.context().allocateProtectionDomain().registerMemory(5000, { access: openToPeers })
    expect(region.remote).toEqual({
      version: 1,
      address: `0x${region.address.toString(16)}`,
      rkey: region.rkey,
      length: 5000,
    })
    expect(JSON.parse(JSON.stringify(region.remote))).toEqual(region.remote)
    expect(region.rkey).toBeGreaterThan(0)
    expect(region.lkey).toBeGreaterThan(0)
  })

  it("takes a caller's SharedArrayBuffer, and part of one at an odd offset", async () => {
    const [a, b] = rxe.connected('RC')
    const buffer = new SharedArrayBuffer(10_000)
    const view = new Uint8Array(buffer, 1001, 3003)
    const whole = b.domain.registerMemory(buffer)
    const part = b.domain.registerMemory(view, { access: ['LOCAL_WRITE', 'REMOTE_READ'] })
    expect(whole.length).toBe(10_000)
    expect(part.length).toBe(3003)
    expect(part.address - whole.address).toBe(1001n)
    expect(part.bytes.buffer).toBe(buffer)

    a.memory.bytes.set(pattern(3003, 1))
    b.pair.prepareReceive({ memory: part }).post(1)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory }).post(1, 0, 3003)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ status: 'SUCCESS', byteLength: 3003 })
    expectBytes(view, pattern(3003, 1))
    expectBytes(new Uint8Array(buffer, 0, 1001), new Uint8Array(1001))
    expectBytes(new Uint8Array(buffer, 4004), new Uint8Array(10_000 - 4004))

    // And the other way: a peer reads the bytes written through the buffer.
    new Uint8Array(buffer).set(pattern(10_000, 2))
    a.pair.prepareRead({ memory: a.memory, remote: part.remote }).post(2, 0, 3003)
    a.pair.submit()
    await completions(a.cq, 2)
    expectBytes(a.memory.bytes.subarray(0, 3003), pattern(10_000, 2).subarray(1001, 4004))
  })

  it('takes an arena, whose memory a second region may share', () => {
    const context = rxe.context()
    const domain = context.allocateProtectionDomain()
    const arena = Arena.allocate(8192)
    const one = domain.registerMemory(arena)
    const two = domain.registerMemory(Arena.over(arena.bytes))
    one.bytes[5000] = 77
    expect(two.bytes[5000]).toBe(77)
    expect(one.address).toBe(two.address)
    expect(one.lkey).not.toBe(two.lkey)
  })

  it('takes shared memory of WebAssembly, and a growable buffer, at their current size', async () => {
    const [a, b] = rxe.connected('RC')
    const { WebAssembly } = globalThis as unknown as {
      WebAssembly: { Memory: new (options: object) => WasmMemory }
    }
    const wasm = new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true })
    const region = b.domain.registerMemory(wasm.buffer)
    expect(region.length).toBe(64 << 10)
    wasm.grow(2)
    b.pair.prepareReceive({ memory: region }).post(1)
    b.pair.submit()
    a.memory.bytes.set(pattern(64 << 10, 3))
    a.pair.prepareSend({ memory: a.memory }).post(2, 0, 64 << 10)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ status: 'SUCCESS', byteLength: 64 << 10 })
    expectBytes(new Uint8Array(wasm.buffer, 0, 64 << 10), pattern(64 << 10, 3))

    const Growable = SharedArrayBuffer as unknown as new (
      size: number,
      options: { maxByteLength: number },
    ) => SharedArrayBuffer & { grow(size: number): void }
    const buffer = new Growable(4096, { maxByteLength: 8192 })
    const grown = a.domain.registerMemory(buffer)
    const send = a.pair.prepareSend({ memory: grown })
    buffer.grow(8192)
    expect([grown.length, grown.remote.length]).toEqual([4096, 4096])
    expect(thrownBy(() => send.post(1, 0, 4097)).message).toBe(
      '"length" must be an integer from 0 to 4096, not 4097',
    )
  })

  it('has exactly the requested access flags, or LOCAL_WRITE', () => {
    const domain = rxe.context().allocateProtectionDomain()
    expect(domain.registerMemory(1).access).toEqual(['LOCAL_WRITE'])
    expect(domain.registerMemory(1, { access: undefined }).access).toEqual(['LOCAL_WRITE'])
    expect(domain.registerMemory(1, { access: [] }).access).toEqual([])
    const access: Access[] = ['REMOTE_READ']
    const region = domain.registerMemory(1, { access })
    access.push('LOCAL_WRITE')
    expect(region.access).toEqual(['REMOTE_READ'])
  })

  it('refuses access that the device lacks', () => {
    const domain = rxe.context().allocateProtectionDomain()
    // rxe of Linux 6.1 has no on-demand paging.
    expect(thrownBy(() => domain.registerMemory(4096, { access: ['ON_DEMAND'] }))).toMatchObject({
      name: 'VerbsError',
      code: 'EINVAL',
      errno: -22,
      syscall: 'ibv_reg_mr',
      message: 'EINVAL: ibv_reg_mr: 4096 bytes',
    })
  })

  it.skipIf(soft)('names the limit on locked memory in force', async () => {
    // The limit applies to a process without CAP_IPC_LOCK (ib_umem_get in drivers/infiniband/core/umem.c).
    const script = `
      import { open } from 'ibverbs'
      try { open('rxe0').allocateProtectionDomain().registerMemory(1 << 20) } catch (error) {
        console.log(JSON.stringify({ code: error.code, syscall: error.syscall, message: error.message }))
      }`
    const out = execFileSync(
      'setpriv',
      [
        '--bounding-set=-ipc_lock',
        '--inh-caps=-ipc_lock',
        'prlimit',
        '--memlock=65536:65536',
        process.execPath,
        '--input-type=module',
        '-e',
        script,
      ],
      { encoding: 'utf8' },
    )
    expect(JSON.parse(out)).toEqual({
      code: 'ENOMEM',
      syscall: 'ibv_reg_mr',
      message:
        'ENOMEM: ibv_reg_mr: 1048576 bytes (locked memory is limited to 64 KiB: raise it with ' +
        "'ulimit -l unlimited', LimitMEMLOCK=infinity (systemd) or memlock in /etc/security/limits.conf)",
    })
  })
})

describe('a closed region', () => {
  it('stays readable', () => {
    const region = rxe.context().allocateProtectionDomain().registerMemory(4096)
    region.bytes.fill(9)
    region.close()
    expect(region.closed).toBe(true)
    expect(region.bytes[4095]).toBe(9)
    region.bytes[0] = 1
    expect(region.length).toBe(4096)
  })

  it('takes no more requests, and requests that name it are refused', () => {
    const [a] = rxe.connected('RC')
    const region = a.domain.registerMemory(4096)
    const send = a.pair.prepareSend({ memory: region })
    const receive = a.pair.prepareReceive({ memory: region })
    region.close()
    for (const prepare of [
      () => a.pair.prepareSend({ memory: region }),
      () => a.pair.prepareReceive({ elements: [{ memory: region }] }),
    ]) {
      expect(thrownBy(prepare)).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    }
    expect(send.post(5)).toBe(0)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({
      code: 'EINVAL',
      syscall: 'ibv_post_send',
      cookie: 5,
      message: 'EINVAL: ibv_post_send: element 0 names a memory region that is closed',
    })
    expect(receive.post(6)).toBe(0)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({ syscall: 'ibv_post_recv', cookie: 6 })
  })
})
