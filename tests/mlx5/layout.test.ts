/** The layouts' structures, members and numbers against mlx5dv.h's own. */
import { expect, test } from 'vitest'
import * as completion from '../../lib/mlx5/layout/completion.js'
import * as doorbell from '../../lib/mlx5/layout/doorbell.js'
import { mlx5dv, type StructLayout } from '../../lib/mlx5/layout/field.js'
import * as names from '../../lib/mlx5/layout/names.js'
import * as receive from '../../lib/mlx5/layout/receive-request.js'
import * as send from '../../lib/mlx5/layout/send-request.js'
import { runC } from './header.js'

const layouts = [completion, doorbell, receive, send]
  .flatMap((module): unknown[] => Object.values(module))
  .filter((value): value is StructLayout => typeof value === 'object' && value !== null && 'struct' in value)

/** Linux's or DPDK's name for what mlx5dv.h calls otherwise: same place, another word. */
const synonyms: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  mlx5_wqe_eth_seg: { 'inline_hdr.sz': 'inline_hdr_sz' },
  mlx5_cqe64: { srqn: 'srqn_uidx', l4_l3_hdr_type: 'l4_hdr_type_etc', ft_metadata: 'imm_inval_pkey' },
}
/** What mlx5dv.h reserves: only Linux names it. */
const reserved = [
  'mlx5_wqe_eth_seg.swp_outer_l4_offset mlx5_wqe_eth_seg.swp_outer_l3_offset mlx5_wqe_eth_seg.swp_inner_l4_offset',
  'mlx5_wqe_eth_seg.swp_inner_l3_offset mlx5_wqe_eth_seg.swp_flags mlx5_wqe_eth_seg.flow_table_metadata',
  'mlx5_cqe64.rss_hash_result mlx5_cqe64.rss_hash_type mlx5_cqe64.check_sum',
].flatMap((line) => line.split(' '))
const ours = ['bytes']
const headers = new Set([
  'mlx5_wqe_ctrl_seg',
  'mlx5_wqe_eth_seg',
  'mlx5_wqe_raddr_seg',
  'mlx5_wqe_atomic_seg',
  'mlx5_wqe_data_seg',
  'mlx5_wqe_inl_data_seg',
  'mlx5_wqe_umr_ctrl_seg',
  'mlx5_wqe_mkey_context_seg',
  'mlx5_wqe_srq_next_seg',
  'mlx5_cqe64',
  'mlx5_err_cqe',
])

test('each member lies where mlx5dv.h has it', () => {
  const members = layouts
    .filter(({ struct }) => headers.has(struct))
    .flatMap(({ struct, fields }) =>
      Object.values(fields).map(({ member, offset, length }) => ({ struct, member, offset, length })),
    )
    .filter(({ struct, member }) => !ours.includes(member) && !reserved.includes(`${struct}.${member}`))
  const lines = members.map(({ struct, member }) => {
    const name = synonyms[struct]?.[member] ?? member
    return `printf("%zu %zu\\n", offsetof(struct ${struct}, ${name}), sizeof ((struct ${struct} *)0)->${name});`
  })
  const printed = runC({
    text: `#include <infiniband/mlx5dv.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n${lines.join('\n')}\nreturn 0;\n}\n`,
  })
  const found = printed.trim().split('\n')
  expect(found).toHaveLength(members.length)
  expect(members.length).toBeGreaterThan(60)
  const told = members.map(({ struct, member, offset, length }) => `${struct}.${member} ${offset} ${length}`)
  expect(told).toEqual(members.map(({ struct, member }, i) => `${struct}.${member} ${found[i]}`))
})

test('a layout that names mlx5dv.h as its source is a structure there, or an array of words', () => {
  const missing = layouts.filter(({ source, struct }) => source === mlx5dv && !headers.has(struct))
  expect(missing.map(({ struct }) => struct).sort()).toEqual([
    'cq_uar + MLX5_CQ_DOORBELL',
    'dbrec[MLX5_CQ_SET_CI, MLX5_CQ_ARM_DB]',
    'dbrec[MLX5_RCV_DBR, MLX5_SND_DBR]',
  ])
})

test('fields lie within their structures, and no two overlap', () => {
  const wrong: string[] = []
  for (const { title, length, fields } of layouts) {
    const taken = new Set<number>()
    for (const [name, field] of Object.entries(fields)) {
      if (field.offset + field.length > length) wrong.push(`${title}.${name} lies outside`)
      for (let bit = field.low; bit <= field.high; bit++) {
        const at = (field.offset + field.length) * 8 - 1 - bit
        if (taken.has(at)) wrong.push(`${title}.${name}: bit ${bit} is taken`)
        taken.add(at)
      }
    }
  }
  expect(wrong).toEqual([])
})

test('each number is the one of mlx5dv.h', () => {
  const known = {
    OPCODE: Object.entries(names.SendOpcode).filter(
      // Names of Linux and DPDK.
      ([name]) => !['WAIT', 'SEND_EN', 'ENHANCED_MPSW', 'ACCESS_ASO'].includes(name),
    ),
    CQE: Object.entries(names.CqeOpcode),
    CQE_SYNDROME: Object.entries(names.CqeSyndrome),
    CQE_L3_HDR_TYPE: Object.entries(names.CqeL3HeaderType),
    CQE_: Object.entries(names.CqeCheck),
    ETH_WQE: Object.entries(names.EthernetFlag).filter(([name]) => !name.includes('INNER')),
    '': [
      ['CQ_DOORBELL', names.cqDoorbell],
      ['INVALID_LKEY', names.invalidLkey],
      ['INLINE_SEG', names.inlineSegment],
      ['SEND_WQE_BB', names.basicBlock],
      ['CQ_DB_REQ_NOT', names.ArmCommand.REQ_NOT << 24],
      ['CQ_DB_REQ_NOT_SOL', names.ArmCommand.REQ_NOT_SOL << 24],
    ] as const,
  }
  const all = Object.entries(known).flatMap(([kind, pairs]) =>
    pairs.map(([name, value]) => [`MLX5_${kind}_${name}`.replace(/_+/g, '_'), value] as const),
  )
  const lines = all.map(([name]) => `printf("%u\\n", (unsigned)${name});`)
  const printed = runC({
    text: `#include <infiniband/mlx5dv.h>\n#include <stdio.h>\nint main(void) {\n${lines.join('\n')}\nreturn 0;\n}\n`,
  })
  expect(all.map(([name, value]) => `${name} ${value}`)).toEqual(
    printed
      .trim()
      .split('\n')
      .map((value, i) => `${all[i][0]} ${value}`),
  )
})
