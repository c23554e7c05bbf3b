/** What the checks ran on: device, firmware, driver, libraries. No address of the machine or the network is among it. */
import { readFileSync, realpathSync } from 'node:fs'
import { arch, cpus, release } from 'node:os'
import { libibverbsPath } from '../../index.js'
import { queryDevice } from '../../mlx5/index.js'
import { isSoftware } from '../../soft/device-name.js'
import type { Bench } from './bench.js'

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return null
  }
}

/** The file of a library that is loaded; its name ends in its version. */
function loaded(name: string): string | null {
  const line = textOf('/proc/self/maps')
    ?.split('\n')
    .find((each) => each.includes(`/${name}.so`) || each.includes(`/${name}-`))
  const path = line?.slice(line.indexOf('/'))
  return path === undefined ? null : path
}

/** The path without symbolic links: the file's name ends in the version. */
const fileOf = (path: string | null) => path && realpathSync(path)

/** The kernel's module behind a device, with its own version where it has one: a vendor's (MLNX_OFED), not Linux's. */
function driverOf(device: string): { module: string; version: string | null } | null {
  try {
    const module = realpathSync(`/sys/class/infiniband/${device}/device/driver/module`)
    return { module: module.slice(module.lastIndexOf('/') + 1), version: textOf(`${module}/version`) }
  } catch {
    return null
  }
}

function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

export function describeMachine({ context, device, port }: Bench): Record<string, unknown> {
  // A GUID is an address.
  const { nodeGuid: _, sysImageGuid: __, ...attributes } = context.queryDevice()
  const { lid: ___, smLid: ____, ...portAttributes } = context.queryPort(port)
  return {
    ibverbs: version(),
    node: process.version,
    kernel: release(),
    architecture: arch(),
    processor: cpus()[0]?.model ?? null,
    libibverbs: fileOf(libibverbsPath()),
    libmlx5: loaded('libmlx5'),
    device: {
      name: device,
      port,
      software: isSoftware(device),
      firmware: attributes.firmwareVersion,
      boardId: textOf(`/sys/class/infiniband/${device}/board_id`),
      driver: driverOf(device),
      attributes,
      portAttributes,
      mlx5: queryDevice(context),
    },
  }
}
