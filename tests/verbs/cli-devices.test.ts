import { describe, expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { begin } from '../cli/resident.js'

/** The values of `ibv_devinfo -v` of a device: the part after ':', by the name before it. */
function devinfo(device: string): { device: Map<string, string>; port: Map<string, string>; gids: string[] } {
  const output = execFileSync('ibv_devinfo', ['-v', '-d', device], { encoding: 'utf8' })
  const [deviceText, portText] = output.split(/^\t\tport:\t1$/m)
  const values = (text: string) =>
    new Map([...text.matchAll(/^\t+([\w ]+?):?\t+(\S.*)$/gm)].map((row) => [row[1], row[2]]))
  const gids = [...portText.matchAll(/GID\[ *(\d+)\]:\t+(\S+), (.+)$/gm)].map((row) =>
    row.slice(1, 4).join(' '),
  )
  return { device: values(deviceText), port: values(portText), gids }
}

const camelCase = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())

/** Names that are spelled differently here. */
const deviceNames: Readonly<Record<string, string>> = { fw_ver: 'firmwareVersion' }
const portNames: Readonly<Record<string, string>> = {
  max_msg_sz: 'maxMessageSize',
  sm_lid: 'smLid',
  port_lid: 'lid',
  port_lmc: 'lmc',
  bad_pkey_cntr: 'badPkeyCounter',
  qkey_viol_cntr: 'qkeyViolationCounter',
  pkey_tbl_len: 'pkeyTableLength',
  gid_tbl_len: 'gidTableLength',
  phys_state: 'physicalState',
}

describe('ibverbs devices --json', async () => {
  const { code, stdout, stderr } = await begin(['devices', '--json']).finished
  const reports = JSON.parse(stdout)

  test('has both devices', () => {
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(reports.map(({ name }: { name: string }) => name)).toEqual(['rxe0', 'rxe1'])
  })

  describe.each(['rxe0', 'rxe1'])('%s: says what ibv_devinfo -v says', (name) => {
    const expected = devinfo(name)
    const report = reports.find((each: { name: string }) => each.name === name)
    const [port] = report.ports

    /** The same number in any notation. */
    const same = (ours: unknown, theirs: string) => {
      if (typeof ours === 'string' && !ours.startsWith('0x')) expect(ours).toBe(theirs)
      else expect(BigInt(ours as number | string)).toBe(BigInt(theirs.split(' ')[0]))
    }

    // The attributes that it prints as numbers and that ibv_device_attr has.
    test.each([
      'fw_ver',
      'node_guid',
      'sys_image_guid',
      'vendor_id',
      'vendor_part_id',
      'hw_ver',
      'phys_port_cnt',
      'max_mr_size',
      'page_size_cap',
      'max_qp',
      'max_qp_wr',
      'device_cap_flags',
      'max_sge',
      'max_sge_rd',
      'max_cq',
      'max_cqe',
      'max_mr',
      'max_pd',
      'max_qp_rd_atom',
      'max_ee_rd_atom',
      'max_res_rd_atom',
      'max_qp_init_rd_atom',
      'max_ee_init_rd_atom',
      'max_ee',
      'max_rdd',
      'max_mw',
      'max_raw_ipv6_qp',
      'max_raw_ethy_qp',
      'max_mcast_grp',
      'max_mcast_qp_attach',
      'max_total_mcast_qp_attach',
      'max_ah',
      'max_fmr',
      'max_srq',
      'max_srq_wr',
      'max_srq_sge',
      'max_pkeys',
      'local_ca_ack_delay',
    ])('%s', (key) => {
      same(report.attributes[deviceNames[key] ?? camelCase(key)], expected.device.get(key) as string)
    })

    test.each([
      'device_cap_flags_ex',
      'max_tso',
      'max_rwq_indirection_tables',
      'max_rwq_indirection_table_size',
      'rx_hash_function',
      'rx_hash_fields_mask',
      'max_wq_type_rq',
    ])('extended: %s', (key) => {
      same(report.attributes.extended[camelCase(key)], expected.device.get(key) as string)
    })

    test('transport, atomics', () => {
      expect(report.transport).toBe('IB')
      expect(expected.device.get('transport')).toBe('InfiniBand (0)')
      expect(expected.device.get('atomic_cap')).toBe(`ATOMIC_${report.attributes.atomicCap} (1)`)
    })

    test.each([
      'max_mtu',
      'active_mtu',
      'sm_lid',
      'port_lid',
      'port_lmc',
      'max_msg_sz',
      'port_cap_flags',
      'port_cap_flags2',
      'max_vl_num',
      'bad_pkey_cntr',
      'qkey_viol_cntr',
      'sm_sl',
      'pkey_tbl_len',
      'gid_tbl_len',
      'subnet_timeout',
      'init_type_reply',
    ])('port: %s', (key) => {
      same(port[portNames[key] ?? camelCase(key)], expected.port.get(key) as string)
    })

    test('port: state, link layer, width and speed', () => {
      expect(expected.port.get('state')).toBe(`PORT_${port.state} (4)`)
      expect(expected.port.get('phys_state')).toBe(`${port.physicalState} (5)`)
      expect(expected.port.get('link_layer')).toBe(port.linkLayer)
      expect(expected.port.get('active_width')).toBe(`1X (${port.activeWidth})`)
      expect(expected.port.get('active_speed')).toBe(`10.0 Gbps (${port.activeSpeed})`)
      expect(port.gigabitsPerSecond).toBe(10)
    })

    test('GIDs, with type and network device', () => {
      const ours = port.gids.map(
        (gid: { index: number; gid: string; type: string }) => `${gid.index} ${gid.gid} ${gid.type}`,
      )
      expect(ours).toEqual(expected.gids)
      for (const { netdev } of port.gids) expect(netdev).toBe(name.replace('rxe', 'v'))
    })
  })
})

describe('ibverbs devices', () => {
  test('prints tables of devices, ports and GIDs', async () => {
    const { code, stdout, stderr } = await begin(['devices']).finished
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(
      /^DEVICE +TRANSPORT +NODE +GUID +FIRMWARE +PORTS\nrxe0 +IB +CA +[\da-f:]{19} .* 1\nrxe1 /,
    )
    expect(stdout).toMatch(/^rxe0\/1 +ACTIVE +Ethernet +1024 of 4096 +10 Gbit\/s +-$/m)
    expect(stdout).toMatch(/^rxe0\/1 +0 +RoCE v2 +v0 +fe80::/m)
  })

  test('prints one device when it is named', async () => {
    const { stdout } = await begin(['devices', 'rxe1', '--json']).finished
    expect(JSON.parse(stdout).map(({ name }: { name: string }) => name)).toEqual(['rxe1'])
  })

  test('prints every attribute with -v, and the names of flags', async () => {
    const { stdout } = await begin(['devices', 'rxe0', '-v']).finished
    expect(stdout).toMatch(/^ {2}max_qp_wr +\d+$/m)
    expect(stdout).toMatch(/^ {2}device_cap_flags +0x1223c76 BAD_PKEY_CNTR BAD_QKEY_CNTR AUTO_PATH_MIG /m)
    expect(stdout).toMatch(/^ {2}gid_table_length +\d+$/m)
  })

  test('lists the devices when there is none of that name', async () => {
    const { code, stdout, stderr } = await begin(['devices', 'mlx5_0']).finished
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      'ibverbs devices: ENODEV: ibv_open_device: no device "mlx5_0": there are rxe0, rxe1\n',
    )
  })
})

test('ibverbs doctor finds devices, ports and GIDs, and reports that verbs work', async () => {
  const { code, stdout } = await begin(['doctor', '--json']).finished
  const { works, checks } = JSON.parse(stdout)
  expect({ code, verbs: works.verbs }).toEqual({ code: 0, verbs: true })
  for (const name of [
    'RDMA',
    'SoftRoCE (rdma_rxe)',
    'devices',
    'rxe0 port 1',
    'rxe0 port 1 GIDs',
    'rxe1 port 1',
  ]) {
    expect(checks).toContainEqual(expect.objectContaining({ name, status: 'ok' }))
  }
})
