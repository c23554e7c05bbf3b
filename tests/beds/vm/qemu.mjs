// QEMU's command line.

import { accessSync, constants, readFileSync } from 'node:fs'

/**
 * @param {object} machine
 * @param {'kvm' | 'tcg'} machine.accelerator
 * @param {string} machine.kernel
 * @param {string} machine.initramfs
 * @param {string} machine.job directory that init.sh reads
 * @param {string} machine.results directory that the guest may write to
 * @param {number} machine.memory megabytes
 * @param {number} machine.cpus
 * @param {number} [machine.khz] of the TSC, if known
 */
export function qemuArguments({ accelerator, kernel, initramfs, job, results, memory, cpus, khz }) {
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-machine', 'q35,usb=off,vmport=off,smbus=off,sata=off,hpet=off'],
    ...accelerators[accelerator],
    ...['-smp', String(cpus), '-m', String(memory)],
    ...['-bios', 'qboot.rom', '-kernel', kernel, '-initrd', initramfs],
    ...['-append', `console=ttyS0 ${kernelOptions}${khz ? ` tsc_early_khz=${khz}` : ''} ibverbs.job=${job}`],
    ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ...share('root', '/', ',readonly=on,multidevs=remap'),
    ...share('results', results, ''),
    ...['-device', 'virtio-serial-pci'],
    ...port('stdout', 3), // file descriptors that QEMU inherits: sockets of this process
    ...port('stderr', 4),
  ]
}

const accelerators = {
  kvm: ['-accel', 'kvm', '-cpu', 'host'],
  // One host thread for each processor. `max` has AVX2, which runs no slower than SSE2 here (measured). Without protection
  // keys: V8 uses them, and with them UD sends from Node took three times as long (measured), probably because QEMU flushes
  // its TLB at each write of PKRU.
  tcg: ['-accel', 'tcg,thread=multi,tb-size=256', '-cpu', 'max,-pku'],
}

const kernelOptions = [
  'quiet loglevel=5', // warnings and worse reach the console
  'panic=-1 oops=panic', // the VM ends at once, with the reason as its last lines
  'mitigations=off audit=0 apparmor=0',
  'tsc=reliable no_timer_check', // otherwise the clock is a slow device, read under QEMU's lock
].join(' ')

const share = (id, path, more) => [
  ...['-fsdev', `local,id=${id},path=${comma(path)},security_model=none${more}`],
  ...['-device', `virtio-9p-pci,fsdev=${id},mount_tag=${id}`],
]

const port = (name, fd) => [
  ...['-chardev', `socket,id=${name},fd=${fd}`],
  ...['-device', `virtserialport,chardev=${name},name=${name}`],
]

/** A comma in a value of QEMU's is written twice. */
const comma = (path) => path.replaceAll(',', ',,')

/** The accelerators to try, in this order. A /dev/kvm on a processor without vmx or svm hangs the guest. */
export function usableAccelerators() {
  const wanted = process.env.IBVERBS_VM_ACCELERATOR
  if (wanted) return wanted.split(',')
  const flags = /^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'latin1'))
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return flags ? ['kvm', 'tcg'] : ['tcg']
  } catch {
    return ['tcg']
  }
}
