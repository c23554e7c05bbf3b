import { constants } from 'node:os'
import { VerbsError, verbsError } from '../errors.js'
import { listInterfaces, type NetworkInterface } from './interface/interfaces.js'

const { ENETDOWN, ENXIO, ENOBUFS, ENOMEM, EBUSY, EMSGSIZE, ERANGE, EFAULT, EBADMSG } =
  constants.errno as Record<string, number>
const headerBytes = 14

/**
 * The error of a failed recvmmsg(2) or sendmmsg(2) of the queue on `device`.
 *
 * @param errno positive; ERANGE, EFAULT and EBADMSG are the binding's own (binding/ethernet/af_packet/inlet.h, ring.h)
 * @param refused length of the frame that was itself refused
 */
export function transferError(
  errno: number,
  syscall: string,
  networkInterface: NetworkInterface,
  refused = 0,
): VerbsError {
  // The kernel reports ENETDOWN to a packet socket once, both for a device that went down and for one that was removed
  // (packet_notifier in net/packet/af_packet.c), and sends nothing through the latter: ENXIO.
  const now = listInterfaces().find((entry) => entry.index === networkInterface.index)
  if (now === undefined && (errno === ENETDOWN || errno === ENXIO))
    return goneError(syscall, networkInterface)
  if (errno === ENETDOWN || errno === ENOBUFS || errno === EBUSY) {
    // AF_XDP and packet sockets report a missing carrier by this errno.
    if (now?.up && !now.carrier) return carrierError(syscall, now)
  }
  if (errno === ENETDOWN) return downError(syscall, now ?? networkInterface)
  if (errno === EMSGSIZE) {
    const mtu = (now ?? networkInterface).mtu
    return new VerbsError(
      errno,
      syscall,
      `a frame of ${refused} bytes was refused: "${networkInterface.name}" carries at most ${mtu + headerBytes} ` +
        `(its MTU of ${mtu} and the Ethernet header)`,
    )
  }
  if (errno === ENOBUFS && refused > 0) {
    return new VerbsError(
      errno,
      syscall,
      `a frame of ${refused} bytes was refused: the queueing discipline of "${networkInterface.name}", or a filter there, ` +
        'does not take it (tc qdisc, tc filter, nft)',
    )
  }
  if (errno === ENOBUFS) {
    return new VerbsError(
      errno,
      syscall,
      `the transmit queue of "${networkInterface.name}" is full; what was not accepted stays pending: submit() again`,
    )
  }
  if (errno === ENOMEM && refused > 0) {
    return new VerbsError(
      errno,
      syscall,
      `a frame of ${refused} bytes was refused: the kernel could not cut it into segments or complete its checksum`,
    )
  }
  if (errno === ERANGE)
    return new VerbsError(errno, syscall, "a ring's index was overwritten in shared memory")
  if (errno === EFAULT)
    return new VerbsError(errno, syscall, 'a ring record names no part of a frame in the arena')
  if (errno === EBADMSG)
    return new VerbsError(errno, syscall, 'the header of a slot of the packet ring was overwritten')
  return new VerbsError(errno, syscall, `"${networkInterface.name}"`)
}

export function goneError(syscall: string, networkInterface: NetworkInterface): VerbsError {
  return verbsError(
    'ENODEV',
    syscall,
    `interface "${networkInterface.name}" (index ${networkInterface.index}) was removed`,
  )
}

export function carrierError(syscall: string, networkInterface: NetworkInterface): VerbsError {
  return verbsError(
    'ENETDOWN',
    syscall,
    `interface "${networkInterface.name}" has no carrier: nothing is at the other end of its link, or that end is down`,
  )
}

export function downError(syscall: string, networkInterface: NetworkInterface): VerbsError {
  return verbsError(
    'ENETDOWN',
    syscall,
    `interface "${networkInterface.name}" is down: ip link set ${networkInterface.name} up`,
  )
}
