/** Opens AF_XDP sockets: the order of the attempts, and the errors when they fail. */
import { readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { VerbsError, verbsError } from '../../errors.js'
import { Kind, native } from '../../native.js'
import { arenaFramesOf } from '../arena-frames.js'
import { queueCount } from '../interface/channels.js'
import type { NetworkInterface } from '../interface/interfaces.js'
import { untoldOf } from '../interface/offload-settings.js'
import type { WayReport } from '../report.js'
import { packetHeadroom, type Settings } from '../settings.js'

/** sxdp_flags, linux/if_xdp.h */
const Bind = { copy: 2, zeroCopy: 4, needWakeup: 8, multiBuffer: 16 } as const
/** linux/if_link.h */
const ProgramMode = { generic: 2, native: 4 } as const
const solXdp = 283
/** Linux 6.17: the most frames that one send call sends, 32 by default. */
const maxTransmitBudget = 9
/** asm-generic/socket.h */
const BusyPoll = { prefer: 69, microseconds: 46, budget: 70 } as const
const solSocket = 1

/**
 * Bytes of a buffer that headroom must leave: the shortest frame that the kernel allows for and the room that it needs
 * behind it (xdp_umem_reg in net/xdp/xdp_umem.c), 448 bytes from Linux 6.18 on, less before.
 */
const leastRoom = 448

/** Milliseconds to wait for a queue that is still in use. */
const patience = 1000

const { EBUSY, EEXIST, EPERM, EINVAL, ERANGE, ENOMEM } = constants.errno

type Rings = ReturnType<typeof native.ethernet.xdp.rings>

export interface XdpSetup {
  handle: number
  rings: Rings
  report: WayReport
}

/** The chunk size of AF_XDP's arena: at most a page, so that a longer frame takes several chunks. */
export function chunkSizeOf(settings: Settings): number {
  return Math.min(settings.frames.frameSize, native.ring.pageSize)
}

/** Headroom for UMEM_REG: the pool's headroom beyond the kernel's own. */
function chunkHeadroomOf(settings: Settings): number {
  return Math.max(0, settings.frames.headroom - packetHeadroom)
}

function powerOfTwo(count: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, count)))
}

/**
 * Opens the socket with its UMEM and rings, bound to its queue: zero-copy where the device supports it. The fill ring
 * gets its frames before {@link attachProgram} lets the first frame come.
 */
export function openSocket(
  networkInterface: NetworkInterface,
  settings: Settings,
  queueId: number,
  receiveFrames: number,
  onEvent: () => void,
): XdpSetup {
  const { frames, transmitOnly } = settings
  const xdp = native.ethernet.xdp
  const queues = queueCount(networkInterface.name)
  if (queues > 0 && queueId >= queues) {
    throw verbsError(
      'EINVAL',
      'bind',
      `"${networkInterface.name}" has no receive queue ${queueId}: ${queueNames(queues)}`,
    )
  }
  const chunkSize = chunkSizeOf(settings)
  const chunks = frames.frameSize / chunkSize
  // Room for every frame that can be under way: the kernel sends nothing whose completion has no place, and no frame
  // waits for a place in the ring.
  const transmitEntries = Math.min(powerOfTwo(frames.frameCount * chunks), 2 ** 20)
  const options = {
    ...arenaFramesOf(frames),
    interfaceIndex: networkInterface.index,
    chunkSize,
    chunkHeadroom: chunkHeadroomOf(settings),
    sendBuffer: settings.sendBuffer,
    fillEntries: powerOfTwo(receiveFrames),
    receiveEntries: transmitOnly ? 0 : powerOfTwo(receiveFrames),
    transmitEntries,
    completionEntries: transmitEntries,
    onEvent,
  }
  const open = (): number => {
    const handle = xdp.open(options)
    try {
      // First, because this is the call that a user namespace refuses, and its error is the clearest.
      if (!transmitOnly) check(xdp.joinProgram(handle), 'bpf', 'BPF_MAP_CREATE')
      return handle
    } catch (error) {
      native.close(handle, Kind.XdpSocket)
      throw error
    }
  }
  const notUsed: { what: string; why: string }[] = []
  const bound = bind(open, networkInterface, queueId, notUsed)
  const { handle } = bound
  try {
    tune(handle, settings, transmitEntries, notUsed)
    const { zeroCopy, multiBuffer, sharedMemory } = bound
    const report = {
      backend: 'af_xdp',
      zeroCopy,
      mode: null,
      multiBuffer,
      sharedMemory,
      queueId,
      queues,
      fanout: null,
      untold: [],

      notUsed,
      receivePath: transmitOnly ? null : 'ring',
    } as const
    return { handle, rings: xdp.rings(handle), report }
  } catch (error) {
    native.close(handle, Kind.XdpSocket)
    throw error
  }
}

/**
 * Attaches the program to the interface, in the driver where that works, or joins the program that another queue of
 * this process has there. Returns the report with the result.
 */
export function attachProgram(
  { handle, report }: XdpSetup,
  networkInterface: NetworkInterface,
  queueId: number,
  program: Uint32Array,
): WayReport {
  const xdp = native.ethernet.xdp
  const notUsed = [...report.notUsed]
  let last = 0
  for (const multiBuffer of report.multiBuffer ? [true, false] : [false]) {
    for (const mode of ['native', 'generic'] as const) {
      const { status, ...now } = xdp.attach(handle, program, queueId, multiBuffer, ProgramMode[mode])
      if (status === 0) {
        const running = now.mode === ProgramMode.native ? 'native' : 'generic'
        const untold = untoldOf(networkInterface.name, running)
        return Object.freeze({
          ...report,
          mode: running,
          multiBuffer: multiBuffer && now.fragments,
          notUsed,
          untold,
        })
      }
      if (status === -EBUSY || status === -EEXIST) throw occupiedError(-status, networkInterface)
      if (status === -EPERM || status === -ENOMEM) check(status, 'bpf', 'BPF_LINK_CREATE')
      last = -status
      notUsed.push({ what: `${mode}${multiBuffer ? ', multi-buffer' : ''}`, why: nameOf(last) })
    }
  }
  const mtu =
    last === ERANGE ? `: its MTU of ${networkInterface.mtu} is too large for XDP without multi-buffer` : ''
  throw new VerbsError(last, 'bpf', `no XDP program can be put on "${networkInterface.name}"${mtu}`)
}

interface Bound {
  handle: number
  zeroCopy: boolean
  multiBuffer: boolean
  sharedMemory: boolean
}

/**
 * Binds a socket to its queue, zero-copy where that works, and shares another queue's registration of the arena where
 * there is one. A sharing socket gets the sibling's bind mode: the function shares with a copying sibling only after
 * zero-copy has failed for this queue.
 */
function bind(
  open: () => number,
  networkInterface: NetworkInterface,
  queueId: number,
  notUsed: { what: string; why: string }[],
): Bound {
  const xdp = native.ethernet.xdp
  let handle = open()
  const share = (): Bound | undefined => {
    let found = false
    const status = patiently(() => {
      const { status, shared } = xdp.bindShared(handle, queueId)
      found = shared
      return status
    })
    if (!found) return undefined
    if (status === 0) {
      return {
        handle,
        zeroCopy: xdp.zeroCopy(handle),
        multiBuffer: xdp.sharing(handle).fragments,
        sharedMemory: true,
      }
    }
    throwFatal(-status, networkInterface, queueId)
    notUsed.push({ what: 'shared memory', why: nameOf(-status) })
    return undefined
  }
  try {
    let last = 0
    let sibling = xdp.sharing(handle)
    if (sibling.shared && sibling.zeroCopy) {
      const bound = share()
      if (bound) return bound
    }
    try {
      xdp.registerMemory(handle)
    } catch (error) {
      // No more memory may be locked, but another queue has locked this arena already.
      const bound = sibling.shared ? share() : undefined
      if (bound) return bound
      throw error
    }
    for (const zeroCopy of [true, false]) {
      sibling = xdp.sharing(handle)
      if (!zeroCopy && sibling.shared && !sibling.zeroCopy) {
        // A socket that has registered an arena cannot share another's registration.
        native.close(handle, Kind.XdpSocket)
        handle = open()
        const bound = share()
        if (bound) return bound
        xdp.registerMemory(handle)
      }
      for (const multiBuffer of [true, false]) {
        const flags =
          Bind.needWakeup | (zeroCopy ? Bind.zeroCopy : Bind.copy) | (multiBuffer ? Bind.multiBuffer : 0)
        const status = patiently(() => xdp.bind(handle, queueId, flags))
        if (status === 0) return { handle, zeroCopy: xdp.zeroCopy(handle), multiBuffer, sharedMemory: false }
        last = -status
        throwFatal(last, networkInterface, queueId)
        notUsed.push({
          what: `${zeroCopy ? 'zero-copy' : 'copy'}${multiBuffer ? ', multi-buffer' : ''}`,
          why: nameOf(last),
        })
      }
    }
    const why = last === EINVAL && queueId > 0 ? ` (is there a receive queue ${queueId}?)` : ''
    throw new VerbsError(last, 'bind', `AF_XDP on queue ${queueId} of "${networkInterface.name}"${why}`)
  } catch (error) {
    native.close(handle, Kind.XdpSocket)
    throw error
  }
}

function throwFatal(errno: number, networkInterface: NetworkInterface, queueId: number): void {
  if (errno === EBUSY) {
    throw verbsError(
      'EBUSY',
      'bind',
      `queue ${queueId} of "${networkInterface.name}" has another AF_XDP socket`,
    )
  }
  if (errno === EPERM) throw new VerbsError(errno, 'bind', `AF_XDP on "${networkInterface.name}"`)
}

/**
 * The kernel releases a queue some time after its socket was closed (xp_release_deferred in net/xdp): 5 to 20 ms on an
 * idle machine, over 250 ms on a busy one (measured).
 */
function patiently(bind: () => number): number {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  const deadline = performance.now() + patience
  for (;;) {
    const status = bind()
    if (status !== -EBUSY || performance.now() >= deadline) return status
    Atomics.wait(pause, 0, 0, 1)
  }
}

/** Sets the options that speed AF_XDP up and that not every kernel has. */
function tune(
  handle: number,
  settings: Settings,
  transmitEntries: number,
  notUsed: { what: string; why: string }[],
): void {
  const set = (what: string, level: number, name: number, value: number): void => {
    const status = native.ethernet.xdp.option(handle, level, name, value)
    if (status < 0) notUsed.push({ what, why: nameOf(-status) })
  }
  if (transmitEntries > 32) set('XDP_MAX_TX_SKB_BUDGET', solXdp, maxTransmitBudget, transmitEntries)
  if (settings.busyPoll > 0) {
    set('SO_PREFER_BUSY_POLL', solSocket, BusyPoll.prefer, 1)
    set('SO_BUSY_POLL', solSocket, BusyPoll.microseconds, settings.busyPoll)
    set('SO_BUSY_POLL_BUDGET', solSocket, BusyPoll.budget, settings.batch)
  }
}

function check(status: number, syscall: string, detail: string): void {
  if (status < 0) throw new VerbsError(-status, syscall, detail)
}

function occupiedError(errno: number, networkInterface: NetworkInterface): VerbsError {
  const found = native.ethernet.xdp.attached(networkInterface.index)
  // Removed since, or of a kind that RTM_GETLINK does not show.
  if (found === null)
    return new VerbsError(errno, 'bpf', `"${networkInterface.name}" has an XDP program already`)
  const mode = ['', 'native', 'generic', 'offloaded', 'several'][found.mode]
  const owner = found.link === 0 ? '' : ownerOf(found.link)
  const whose: Record<string, string> = {
    ibverbs: `; it is a PacketQueue's of another process${owner}`,
    xdp_dispatcher: "; it is libxdp's dispatcher: see xdp-loader status",
  }
  return new VerbsError(
    errno,
    'bpf',
    `"${networkInterface.name}" has an XDP program already, "${found.name}" (id ${found.id}, ${mode}), which is not replaced` +
      (whose[found.name] ?? `; to remove it: ${removal(found, networkInterface, owner)}`),
  )
}

/**
 * How to remove a program: one attached by netlink stays until it is taken off, one attached by a BPF link stays as
 * long as its process lives.
 */
function removal(
  { mode, link }: { mode: number; link: number },
  networkInterface: NetworkInterface,
  owner: string,
): string {
  if (link > 0) return `end what holds it by a link${owner}, or bpftool link detach id ${link}`
  // Without a mode the kernel assumes the driver's, and another mode's program stays.
  const word = ['xdp', 'xdpdrv', 'xdpgeneric', 'xdpoffload', 'xdp'][mode]
  return `ip link set ${networkInterface.name} ${word} off`
}

/** ' (process 17, suricata)' for the process that holds a BPF link, as far as /proc shows it. */
function ownerOf(link: number): string {
  for (const pid of entries('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    for (const fd of entries(`/proc/${pid}/fdinfo`)) {
      const holds = new RegExp(`^link_id:\\s*${link}$`, 'm').test(content(`/proc/${pid}/fdinfo/${fd}`))
      if (holds) return ` (process ${pid}, ${content(`/proc/${pid}/comm`).trim()})`
    }
  }
  return ''
}

function entries(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    // The process has ended, or belongs to another user.
    return []
  }
}

function content(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

export function queueNames(queues: number): string {
  return queues === 1 ? 'it has one, 0' : `it has ${queues}, 0 to ${queues - 1}`
}

function nameOf(errno: number): string {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `errno ${errno}`
  }
}

/** An option value that AF_XDP does not accept. */
export interface XdpObstacle {
  option: string
  expected: string
  value: unknown
}

/** The first frame option that AF_XDP refuses on any device, with the values that it accepts. */
export function xdpObstacle(settings: Settings): XdpObstacle | null {
  const { frames } = settings
  if (frames.frameSize < 2048) {
    const expected = "at least 2048 with backend 'af_xdp'"
    return { option: 'frameSize', expected, value: frames.frameSize }
  }
  const most = chunkSizeOf(settings) - leastRoom
  if (frames.headroom > most) {
    const expected = `at most ${most} with backend 'af_xdp': its buffers are of ${chunkSizeOf(settings)} bytes`
    return { option: 'headroom', expected, value: frames.headroom }
  }
  if (native.ring.alignmentGap(frames.arena.bytes, native.ring.pageSize) !== 0) {
    const expected = "one that begins at a page (Arena.allocate) with backend 'af_xdp'"
    return { option: 'arena', expected, value: frames.arena }
  }
  return null
}
