/** `ibverbs devices`: RDMA devices with their attributes, ports and GIDs, like `ibv_devinfo -v`. */
import type { Context, DeviceInfo } from '../../index.js'
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import type { Session } from '../session.js'
import { noMoreOperands, parse } from '../usage.js'
import { type DeviceReport, deviceJson, deviceReport, printDetails, printSummary } from './report.js'

const options = {
  verbose: { type: 'boolean', short: 'v', help: 'all attributes of devices and ports' },
  json: { type: 'boolean', help: 'print one JSON array with all attributes; 64-bit values as 0x… strings' },
} as const

export const devices: Command = {
  name: 'devices',
  summary: 'RDMA devices, their ports and GIDs',
  synopsis: ['[NAME] [-v] [--json]'],
  description: `
Lists every RDMA device, or the named one: its ports with state, MTU and speed, and its GIDs
with type and network device; the index of a GID is what -g of 'ibverbs ping' takes. With -v, and
always with --json, all that ibv_devinfo -v prints. Exit code 1 when there is no device, or none of
that name; 'ibverbs doctor' says what to do.`,
  options,
  examples: [
    ['ibverbs devices', 'a table'],
    ['ibverbs devices mlx5_0 -v', 'everything about one'],
    ['ibverbs devices --json', 'for a program'],
  ],
  run,
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  noMoreOperands(positionals, 1)
  const [name] = positionals
  const { listDevices, open } = await import('../../index.js')
  const all = listDevices()
  const chosen = name === undefined ? all : all.filter((device) => device.name === name)
  // open() throws the library's error, which lists the devices and the remedy.
  if (chosen.length === 0) open(name).close()

  const reports: DeviceReport[] = []
  let failed = false
  for (const device of chosen) {
    try {
      reports.push(withDevice(open, device))
    } catch (error) {
      // A device that cannot be opened must not hide the others.
      failed = true
      session.complain(`${device.name}: ${(error as Error).message}`)
    }
  }
  if (values.json) session.print(deviceJson(reports))
  else {
    if (reports.length > 0) printSummary(reports, session)
    if (values.verbose) for (const report of reports) printDetails(report, session)
  }
  return failed ? ExitCode.failed : ExitCode.ok
}

function withDevice(open: (name: string) => Context, device: DeviceInfo): DeviceReport {
  const context = open(device.name)
  try {
    return deviceReport(device, context)
  } finally {
    context.close()
  }
}
