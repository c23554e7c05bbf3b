import { readFileSync } from 'node:fs'
import { libibverbsPath, listDevices, open } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { names, netdevs, thrownBy, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

/** The output of ibv_devinfo -v, as name → value, without the flags and lists below a name. */
function devinfo(device: string): Map<string, string> {
  const text = execFileSync('ibv_devinfo', ['-v', '-d', device], { encoding: 'utf8' })
  return new Map(
    [...text.matchAll(/^\s*([\w[\] ]+?):[ \t]+(\S.*)$/gm)].map(([, name, value]) => [name, value.trim()]),
  )
}

/** '0x1f', '31' and '4096 (5)' as numbers: the first one of the line. */
const number = (text: string | undefined) => Number(/^\S+/.exec(text ?? '')?.[0])
const hex = (text: string | undefined) => BigInt(text ?? '')
const sysfs = (path: string) => readFileSync(`/sys/class/infiniband/${path}`, 'latin1').trim()

describe('listDevices', () => {
  it('lists both devices as sysfs and rdma have them', () => {
    const kernel = JSON.parse(execFileSync('rdma', ['-j', 'dev', 'show'], { encoding: 'utf8' }))
    expect(listDevices()).toEqual(
      names.map((name) => ({
        name,
        index: kernel.find((each: { ifname: string }) => each.ifname === name).ifindex,
        guid: sysfs(`${name}/node_guid`),
        nodeType: 'CA',
        transport: 'IB',
      })),
    )
  })

  it('is the version of the library that the process has mapped', () => {
    const path = libibverbsPath()
    expect(path).toMatch(/libibverbs\.so\.1/)
    expect(readFileSync('/proc/self/maps', 'latin1')).toContain('libibverbs.so.1')
  })
})

describe('open', () => {
  it('opens the named device, or the first', () => {
    expect(rxe.context(1).name).toBe('rxe1')
    const first = open()
    expect(first.name).toBe(listDevices()[0].name)
    first.close()
  })

  it('lists the devices when there is none of that name', () => {
    const error = thrownBy(() => open('mlx5_0'))
    expect(error).toMatchObject({
      name: 'VerbsError',
      code: 'ENODEV',
      errno: -19,
      syscall: 'ibv_open_device',
    })
    expect(error.message).toBe('ENODEV: ibv_open_device: no device "mlx5_0": there are rxe0, rxe1')
  })
})

describe.each([0, 1] as const)('rxe%i', (device) => {
  const name = names[device]

  it('has the attributes that ibv_devinfo prints', () => {
    const context = rxe.context(device)
    const info = devinfo(name)
    const attributes = context.queryDevice()
    const as = {
      max_qp: 'maxQp',
      max_qp_wr: 'maxQpWr',
      device_cap_flags: 'deviceCapFlags',
      vendor_id: 'vendorId',
      vendor_part_id: 'vendorPartId',
      hw_ver: 'hwVer',
      phys_port_cnt: 'physPortCnt',
      max_sge: 'maxSge',
      max_sge_rd: 'maxSgeRd',
      max_cq: 'maxCq',
      max_cqe: 'maxCqe',
      max_mr: 'maxMr',
      max_pd: 'maxPd',
      max_qp_rd_atom: 'maxQpRdAtom',
      max_ee_rd_atom: 'maxEeRdAtom',
      max_res_rd_atom: 'maxResRdAtom',
      max_qp_init_rd_atom: 'maxQpInitRdAtom',
      max_ee_init_rd_atom: 'maxEeInitRdAtom',
      max_ee: 'maxEe',
      max_rdd: 'maxRdd',
      max_mw: 'maxMw',
      max_raw_ipv6_qp: 'maxRawIpv6Qp',
      max_raw_ethy_qp: 'maxRawEthyQp',
      max_mcast_grp: 'maxMcastGrp',
      max_mcast_qp_attach: 'maxMcastQpAttach',
      max_total_mcast_qp_attach: 'maxTotalMcastQpAttach',
      max_ah: 'maxAh',
      max_fmr: 'maxFmr',
      max_srq: 'maxSrq',
      max_srq_wr: 'maxSrqWr',
      max_srq_sge: 'maxSrqSge',
      max_pkeys: 'maxPkeys',
      local_ca_ack_delay: 'localCaAckDelay',
    } as const
    for (const [theirs, ours] of Object.entries(as)) {
      expect([theirs, attributes[ours]]).toEqual([theirs, number(info.get(theirs))])
    }
    expect(attributes.firmwareVersion).toBe(info.get('fw_ver'))
    expect(attributes.maxMrSize).toBe(hex(info.get('max_mr_size')))
    expect(attributes.pageSizeCap).toBe(hex(info.get('page_size_cap')))
    for (const [theirs, ours] of [
      ['node_guid', attributes.nodeGuid],
      ['sys_image_guid', attributes.sysImageGuid],
    ] as const) {
      expect(ours).toBe(hex(`0x${info.get(theirs)?.replaceAll(':', '')}`))
    }
    expect(info.get('atomic_cap')).toBe(`ATOMIC_${attributes.atomicCap} (1)`)
    expect(context.portCount).toBe(attributes.physPortCnt)
  })

  it('has the extended attributes that ibv_devinfo prints', () => {
    const info = devinfo(name)
    const { extended } = rxe.context(device).queryDevice()
    expect(extended.deviceCapFlagsEx).toBe(hex(info.get('device_cap_flags_ex')))
    expect(extended.maxTso).toBe(number(info.get('max_tso')))
    expect(extended.maxRwqIndirectionTables).toBe(number(info.get('max_rwq_indirection_tables')))
    expect(extended.maxRwqIndirectionTableSize).toBe(number(info.get('max_rwq_indirection_table_size')))
    expect(extended.rxHashFunction).toBe(number(info.get('rx_hash_function')))
    expect(extended.rxHashFieldsMask).toBe(hex(info.get('rx_hash_fields_mask')))
    expect(extended.maxWqTypeRq).toBe(number(info.get('max_wq_type_rq')))
    // 'completion_timestamp_mask not supported', 'core clock not supported', 'NO SUPPORT' of on-demand paging
    expect(extended.completionTimestampMask).toBe(0n)
    expect(extended.hcaCoreClock).toBe(0n)
    expect([extended.rcOdpCaps, extended.ucOdpCaps, extended.udOdpCaps]).toEqual([0, 0, 0])
  })

  it('has the port that ibv_devinfo prints', () => {
    const info = devinfo(name)
    const port = rxe.context(device).queryPort()
    expect(info.get('state')).toMatch(new RegExp(`^PORT_${port.state} `))
    expect(info.get('phys_state')).toMatch(new RegExp(`^${port.physicalState} `))
    expect(port.linkLayer).toBe(info.get('link_layer'))
    const as = {
      max_mtu: 'maxMtu',
      active_mtu: 'activeMtu',
      sm_lid: 'smLid',
      port_lid: 'lid',
      port_lmc: 'lmc',
      max_msg_sz: 'maxMessageSize',
      port_cap_flags: 'portCapFlags',
      port_cap_flags2: 'portCapFlags2',
      max_vl_num: 'maxVlNum',
      bad_pkey_cntr: 'badPkeyCounter',
      qkey_viol_cntr: 'qkeyViolationCounter',
      sm_sl: 'smSl',
      pkey_tbl_len: 'pkeyTableLength',
      gid_tbl_len: 'gidTableLength',
      subnet_timeout: 'subnetTimeout',
      init_type_reply: 'initTypeReply',
    } as const
    for (const [theirs, ours] of Object.entries(as)) {
      expect([theirs, port[ours]]).toEqual([theirs, number(info.get(theirs))])
    }
    for (const [theirs, ours] of [
      ['active_width', port.activeWidth],
      ['active_speed', port.activeSpeed],
    ] as const) {
      expect(info.get(theirs)).toContain(`(${ours})`)
    }
  })

  it('has the GID table, with type and network device, of sysfs', () => {
    const table = rxe.context(device).queryGidTable()
    expect(table.length).toBeGreaterThan(0)
    for (const entry of table) {
      const port = `${name}/ports/${entry.port}`
      const groups = sysfs(`${port}/gids/${entry.index}`)
      expect(new URL(`http://[${entry.gid}]`).hostname).toBe(new URL(`http://[${groups}]`).hostname)
      expect(entry.type).toBe(sysfs(`${port}/gid_attrs/types/${entry.index}`))
      expect(entry.netdev).toBe(sysfs(`${port}/gid_attrs/ndevs/${entry.index}`))
      expect(entry.netdev).toBe(netdevs[device])
      expect(entry.netdevIndex).toBe(Number(readFileSync(`/sys/class/net/${entry.netdev}/ifindex`, 'latin1')))
    }
    expect(table[0].gid).toMatch(/^fe80::/)
  })

  it('has the partition keys of sysfs', () => {
    const context = rxe.context(device)
    expect(context.queryPkey(1, 0)).toBe(Number(sysfs(`${name}/ports/1/pkeys/0`)))
    expect(thrownBy(() => context.queryPkey(1, 1))).toMatchObject({
      name: 'VerbsError',
      syscall: 'ibv_query_pkey',
      message: expect.stringContaining('index 1'),
    })
  })

  it('answers the same twice, in objects of their own', () => {
    const context = rxe.context(device)
    expect(context.queryDevice()).toEqual(context.queryDevice())
    const changed = context.queryDevice()
    changed.maxQp = 0
    expect(context.queryDevice().maxQp).toBeGreaterThan(0)
  })
})
