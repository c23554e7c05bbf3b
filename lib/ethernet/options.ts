import type { Names } from '../argument.js'
import type { FlowRule } from '../flow/rule.js'
import type { MacAddress } from '../headers/mac.js'
import type { FanoutOptions } from './af-packet/fanout.js'
import { type FramePool, type FramePoolOptions, framePoolOptionNames } from './frames.js'
import type { PacketBackend, ReceivePath } from './report.js'

/** Options of {@link PacketQueue.open}. */
export interface PacketQueueOptions extends FramePoolOptions {
  /**
   * The backend to use; opening fails where it does not work. Default: 'af_packet', beside which the kernel's network
   * stack works on undisturbed; with {@link exclusive}, the best backend that works; on a port of an RDMA device
   * 'raw_packet_qp', libibverbs' driver, but on a software ConnectX 'mlx5', this package's own, in TypeScript.
   */
  backend?: PacketBackend
  /**
   * Take the frames that the queue accepts away from the kernel, if that is faster: AF_XDP where it works, and
   * elsewhere AF_PACKET (which leaves them to the kernel as well). With AF_XDP the kernel's own network stack no longer
   * receives frames to this interface's address, nor broadcasts: it answers neither ARP nor ping there. All other
   * frames still go to it. Default false.
   */
  exclusive?: boolean
  /**
   * Of a raw packet queue pair: the RDMA device, such as 'mlx5_0'. Default: the one that has a port behind the
   * interface. A port without a network interface opens by its own name, `PacketQueue.open('mlx5_0/1')`.
   */
  device?: string
  /** Of a raw packet queue pair: the port of `device`, from 1. Default: the one behind the interface, or 1. */
  port?: number
  /** Of a raw packet queue pair on a port without an interface: its largest payload, 68 to 65535. Default 1500. */
  mtu?: number
  /**
   * Of a raw packet queue pair: the device computes the IPv4, TCP and UDP checksums of sent frames (IBV_SEND_IP_CSUM).
   * Default false.
   */
  transmitChecksum?: boolean
  /**
   * Of AF_XDP: the device's receive queue (ethtool -l) that this queue uses, or 'all' of them, which then share
   * {@link receiveFrames} equally. Several `PacketQueue`s of a process, also in different threads, can each use some of
   * a device's queues. Default 0; with {@link exclusive} and no backend named, 'all'.
   */
  queueId?: number | 'all'
  /**
   * Of AF_XDP with a {@link queueId} that is a number: the NIC steers frames that match one of these rules to that
   * queue (n-tuple rules; see {@link steer}). Closing the queue removes the rules. A driver without n-tuple rules is
   * refused, with an error that names it. `etherType`, `flows` and `promiscuous` still decide which of these frames the
   * queue receives. Default: none.
   */
  steer?: readonly FlowRule[]
  /**
   * Of AF_XDP: the number of channels (ethtool -L) that the device has while the queue is open, combined ones or as
   * many receive and transmit channels; closing restores the previous number. With 1, every frame comes to queue 0.
   * Default: unchanged.
   */
  channels?: number
  /**
   * How many frames stand ready to receive into. Default: with AF_PACKET one batch (the kernel queues further frames),
   * with the other backends half of the frames: the device drops frames that come when these are used up.
   */
  receiveFrames?: number
  /**
   * Of AF_XDP: microseconds for which the kernel polls the device on each look instead of waiting for an interrupt
   * (SO_PREFER_BUSY_POLL, SO_BUSY_POLL); {@link PacketQueue.report} lists the settings that the kernel refused. An
   * empty look then costs a system call. Default 0, off.
   */
  busyPoll?: number
  /**
   * Frames shared with other queues (of other threads: {@link FramePool.join}), instead of `arena`, `frameSize`,
   * `frameCount`, `headroom`. Default: none.
   */
  frames?: FramePool
  /**
   * Bytes a frame. Default: 2048, or the next power of two that holds a frame of the interface's MTU; longer frames are
   * truncated ({@link FrameFlag.truncated}).
   */
  frameSize?: number
  /** The most frames that a system call moves, 1 to 1024 and at most half of the frames. Default 64. */
  batch?: number
  /**
   * Receive only frames of this EtherType, 0x0600 to 0xffff, with the same meaning on every backend and beside every
   * other option: the type behind VLAN tags, so that 0x88b5 receives tagged frames of that type as well as untagged
   * ones (`flows: [{ etherType: 0x88b5, vlan: 'none' }]` receives only the untagged ones). A tag's own type (0x8100,
   * 0x88a8, 0x9100) receives every frame whose outer tag has that type, whatever its payload. A backend that cannot
   * match the type refuses it (ENOTSUP): AF_XDP refuses a tag's type on a device that strips tags, and a raw packet
   * queue pair always does. With {@link flows}, the queue receives frames that match both. Default: all.
   */
  etherType?: number
  /** Receive only frames that match one of these rules. Default: all. Not used with `transmitOnly`. */
  flows?: readonly FlowRule[]
  /**
   * Receive only frames that match this pcap-filter(7) expression, such as 'udp port 53', in tcpdump's syntax. libpcap
   * compiles it and must be installed (Debian: libpcap0.8). The kernel runs it before a frame reaches the queue; with a
   * raw packet queue pair this process does. With {@link flows}, the queue receives frames that match both. Default:
   * all.
   *
   * With AF_PACKET the filter means the same as in a tcpdump on that interface: the kernel strips the outer VLAN tag
   * before the filter runs, so that `port 53` matches tagged frames too and `len` does not count the tag. With AF_XDP
   * and a raw packet queue pair it means the same as in `tcpdump -r`, where the tag is in the frame:
   * `vlan and port 53`; a device that strips tags itself (`ethtool -k`: rx-vlan-offload) removes them before the filter
   * runs. These two refuse an expression that needs the kernel's metadata (`inbound`). Not used with `transmitOnly`.
   */
  filter?: string
  /** Receive frames to other stations too (PACKET_MR_PROMISC; packet(7)). Default false. */
  promiscuous?: boolean
  /** Multicast groups to receive, or 'all' (PACKET_MR_ALLMULTI). Default none. Broadcast frames are always received. */
  multicast?: readonly MacAddress[] | 'all'
  /**
   * Receive also the frames that other sockets of this machine send through the interface, as tcpdump shows them. On
   * the loopback, which receives every frame that it sends, each frame comes once, as received. Default false.
   */
  outgoing?: boolean
  /**
   * Of AF_PACKET: stamp each received frame with its arrival time, by the kernel's clock ('software' or true) or by the
   * device's ('hardware', which needs CAP_NET_ADMIN and a device that stamps every frame; its clock is not the
   * system's: see phc2sys(8)). The device stamps for as long as the queue is open. Default false.
   *
   * Of mlx5: 'hardware', the time in the frame's completion, converted to the system's clock as the kernel relates the
   * two (mlx5dv_ts_to_ns(3)). Each frame then has a completion of its own, uncompressed, and is not received by the
   * shortest code.
   */
  timestamps?: boolean | 'software' | 'hardware'
  /**
   * Of mlx5: the device takes the VLAN tag (0x8100) out of each received frame and tells it, `queue.vlan(slot)`; `forward`
   * has it inserted again. Refused where the device cannot (ENOTSUP). As with {@link timestamps}, each frame then has a
   * completion of its own and is not received by the shortest code. Default false: the tag stays in the frame.
   */
  stripVlan?: boolean
  /**
   * Of AF_PACKET: share the interface's frames with the other queues of a group (PACKET_FANOUT), in other threads and
   * processes too: each frame goes to one of them. A frame that the group assigns to a queue and that queue's own
   * filter rejects is lost to the group. Default: none, every queue receives every frame.
   */
  fanout?: FanoutOptions
  /**
   * Of mlx5: received frames come into buffers of several frames each, so that the device reads one request for many of them
   * (a striding receive queue, DPDK's MPRQ: mlx5dv_create_wq(3)). A number says how many frames lie in a buffer, a power of
   * two; true leaves it to the queue. A buffer goes back to the device when the last of its frames was given back: where
   * frames that the caller keeps hold a quarter of the buffers back, received frames are copied into the places beside them,
   * which {@link PacketQueue.report} counts. `headroom` must be 0, `frameSize` at most what the device can, and the pool the
   * queue's own. Refused where the device cannot (ENOTSUP). Default false.
   */
  striding?: boolean | number
  /** Never receive: the kernel then queues no frames for this queue. Default false. */
  transmitOnly?: boolean
  /**
   * Of AF_PACKET: bytes that the kernel may queue until {@link PacketQueue.receive} is called. With
   * `receivePath: 'ring'` they are the ring, which the kernel allocates at once; every frame takes the room of one of
   * the interface's MTU, and the default is 8 MiB: 5000 frames at an MTU of 1500. With 'recvmmsg' they are SO_RCVBUF: a
   * 64-byte frame takes about 800, the default is 16 MiB, and more than net.core.rmem_max needs CAP_NET_ADMIN (without
   * it the limit applies).
   */
  receiveBuffer?: number
  /**
   * Of AF_PACKET: how frames leave the kernel. 'ring': the kernel writes them to memory that this thread reads
   * (PACKET_MMAP), without a system call, and an empty look is one load. 'recvmmsg': one system call a batch. Default:
   * 'ring', or 'recvmmsg' where the ring does not work; {@link PacketQueue.report} shows which.
   */
  receivePath?: ReceivePath
  /**
   * Bytes under way to the device at which {@link PacketQueue.submit} accepts no more (SO_SNDBUF). Default: the
   * system's.
   */
  sendBuffer?: number
}
export const packetQueueOptionNames = {
  ...framePoolOptionNames,
  backend: true,
  exclusive: true,
  device: true,
  port: true,
  mtu: true,
  transmitChecksum: true,
  queueId: true,
  steer: true,
  channels: true,
  receiveFrames: true,
  busyPoll: true,
  frames: true,
  batch: true,
  etherType: true,
  flows: true,
  filter: true,
  promiscuous: true,
  multicast: true,
  outgoing: true,
  fanout: true,
  timestamps: true,
  stripVlan: true,
  striding: true,
  transmitOnly: true,
  receiveBuffer: true,
  receivePath: true,
  sendBuffer: true,
} as const satisfies Names<PacketQueueOptions>
