/**
 * What the software ConnectX announces and no test stands behind: nothing. A capability bit or a limit that is new is a row
 * that this table lacks, and a test that is renamed is one that it looks for in vain.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'

const library = join(import.meta.dirname, '../../build/Release/libibverbs_soft.so')
const folder = mkdtempSync(join(tmpdir(), 'soft-capabilities-'))
const program = join(folder, 'capabilities')
afterAll(() => rmSync(folder, { recursive: true }))
beforeAll(() => {
  const source = join(import.meta.dirname, 'capabilities/capabilities.c')
  execFileSync('gcc', ['-o', program, source, '-libverbs', '-lmlx5'])
})

const ofEach = ['verbs/limits_test.cc', 'so_many_of_each_and_no_more']
const agreedReads = ['verbs/announced_test.cc', 'as_many_reads_are_agreed_as_announced_and_no_more']
const groups = ['verbs/announced_test.cc', 'a_group_takes_as_many_queue_pairs_as_announced_and_no_more']
const elements = [
  'verbs/announced_test.cc',
  'a_message_is_gathered_from_and_read_into_as_many_elements_as_announced',
]
const tables = ['verbs/announced_test.cc', 'a_port_has_the_gids_and_partition_keys_that_it_announces']
const hashing = ['engine/rss_test.cc', 'receive_side_scaling_spreads_by_the_published_hashes']
const workQueues = ['engine/libmlx5_raw_program.cc', 'receive_side_scaling_through_work_queues']
const windows2 = [
  'engine/libmlx5_rdma_program.cc',
  'memory_windows_of_type_2_are_invalidated_locally_and_by_the_peer',
]
const striding = ['engine/striding_test.cc', 'shapes_that_no_striding_queue_has_are_refused']
const compressed = ['engine/libmlx5_forms_program.cc', 'compressed_completions_of_each_format_over_many_laps']
const clock = ['verbs/clock_test.cc', 'a_completion_is_stamped_between_two_looks_at_the_clock']
const segments = ['engine/libmlx5_raw_program.cc', 'libmlx5_writes_a_tso_wqe_that_becomes_segments']

const moderation = ['verbs/moderation_test.cc', 'moderation_has_the_limits_that_the_device_tells']

/** Announced: where the test is that sees it hold. Bits are numbered as in verbs.h and mlx5dv.h. */
const tests: Readonly<Record<string, string[]>> = {
  num_comp_vectors: [
    'verbs/vectors_test.cc',
    'each_completion_vector_raises_events_and_there_is_none_beyond',
  ],
  'cq_mod_caps.max_cq_count': moderation,
  'cq_mod_caps.max_cq_period': moderation,
  max_mr_size: ['large-regions.test.ts', 'are a region, whose last bytes reach a peer'],
  page_size_cap: ['large-regions.test.ts', 'are an arena, from a page on to the last byte'],
  max_qp: ofEach,
  max_qp_wr: [
    'verbs/announced_test.cc',
    'a_queue_pair_has_as_many_requests_and_elements_as_announced_and_no_more',
  ],
  'device_cap_flags[10]': ['engine/error_test.cc', 'a_port_that_is_down_loses_frames_and_raises_events'],
  'device_cap_flags[11]': ['sysfs.test.ts', 'all programs of one `ibverbs soft` see one card'],
  'device_cap_flags[12]': ['roce/loss_test.cc', 'rnr_retry_counts_and_seven_is_for_ever'],
  'device_cap_flags[17]': [
    'engine/libmlx5_rdma_program.cc',
    'memory_windows_of_type_1_open_a_part_of_a_region_and_close_with_a_new_bind',
  ],
  'device_cap_flags[24]': windows2,
  'device_cap_flags[26]': [
    'engine/libmlx5_raw_program.cc',
    'checksums_are_computed_and_their_status_arrives',
  ],
  'device_cap_flags[29]': ['engine/steering_test.cc', 'rules_look_at_addresses_types_and_tags'],
  max_sge: elements,
  max_sge_rd: elements,
  max_cq: ofEach,
  max_cqe: ['verbs/announced_test.cc', 'a_completion_queue_has_no_more_entries_than_announced'],
  max_mr: ofEach,
  max_pd: ofEach,
  max_qp_rd_atom: agreedReads,
  max_res_rd_atom: agreedReads,
  max_qp_init_rd_atom: agreedReads,
  atomic_cap: ['roce/send_test.cc', 'compare_and_swap_and_fetch_and_add'],
  max_mw: ofEach,
  max_raw_ethy_qp: ofEach,
  max_mcast_grp: groups,
  max_mcast_qp_attach: groups,
  max_total_mcast_qp_attach: groups,
  max_ah: ofEach,
  max_srq: ofEach,
  max_srq_wr: [
    'verbs/announced_test.cc',
    'a_shared_receive_queue_has_as_many_requests_as_announced_and_no_more',
  ],
  max_srq_sge: ['verbs/objects_test.cc', 'a_shared_receive_queue_has_as_many_elements_as_the_device_says'],
  max_pkeys: tables,
  // 4.096 µs · 2^16, 268 ms: what a peer's timeout has to allow for, and an answer takes no part of it.
  local_ca_ack_delay: ['roce/loss_test.cc', 'silence_ends_after_retry_cnt_repetitions'],
  phys_port_cnt: tables,
  phys_port_cnt_ex: tables,
  completion_timestamp_mask: clock,
  hca_core_clock: clock,
  'device_cap_flags_ex[34]': [
    'engine/raw_test.cc',
    'the_frame_check_sequence_is_delivered_where_it_is_asked_for',
  ],
  'tso_caps.max_tso': segments,
  'tso_caps.supported_qpts[8]': segments,
  'rss_caps.supported_qpts[8]': workQueues,
  'rss_caps.max_rwq_indirection_tables': ofEach,
  'rss_caps.max_rwq_indirection_table_size': [
    'verbs/announced_test.cc',
    'an_indirection_table_has_as_many_entries_as_announced_and_no_more',
  ],
  ...Object.fromEntries(
    Array.from({ length: 8 }, (_, bit) => [`rss_caps.rx_hash_fields_mask[${bit}]`, hashing]),
  ),
  'rss_caps.rx_hash_function[0]': ['engine/rss_test.cc', 'toeplitz_gives_the_published_results'],
  max_wq_type_rq: ofEach,
  'raw_packet_caps[0]': [
    'engine/libmlx5_raw_program.cc',
    'vlan_stripping_flow_tags_and_timestamps_are_read_from_the_cqe',
  ],
  'raw_packet_caps[1]': ['engine/raw_test.cc', 'the_frame_check_sequence_is_delivered_where_it_is_asked_for'],
  'raw_packet_caps[2]': ['engine/libmlx5_raw_program.cc', 'checksums_are_computed_and_their_status_arrives'],
  max_msg_sz: ['engine/error_test.cc', 'a_length_of_zero_means_two_gigabytes'],
  gid_tbl_len: tables,
  pkey_tbl_len: tables,
  // What mlx5_ib says of each RoCE port (mlx5_query_port_roce); a rule of the kernel's, not of the card's.
  'port_cap_flags[16]': ['sysfs.test.ts', 'ibstat and ibstatus, which read it themselves'],
  'port_cap_flags[26]': ['verbs/clock_test.cc', 'the_mac_address_behind_a_gid_is_the_one_that_packets_go_to'],
  max_vl_num: ['programs.test.ts', 'ibv_devinfo -v describes the device'],
  // MLX5DV_CONTEXT_FLAGS_CQE_V1, MPW_ALLOWED, ENHANCED_MPW, CQE_128B_COMP, CQE_128B_PAD
  'flags[0]': ['engine/libmlx5_raw_program.cc', 'a_thousand_frames_go_round_both_rings'],
  'flags[2]': ['engine/multi_packet_test.cc', 'the_older_form_is_cut_by_its_length'],
  'flags[3]': ['engine/libmlx5_forms_program.cc', 'one_wqe_sends_many_frames'],
  'flags[4]': ['engine/compression_test.cc', 'an_entry_of_128_bytes_has_all_of_it_in_its_second_half'],
  'flags[5]': ['engine/completion_test.cc', 'a_cqe_of_128_bytes_has_its_fields_in_the_second_half'],
  'cqe_comp_caps.max_num': [
    'engine/compression_test.cc',
    'a_session_may_have_any_length_up_to_the_most_and_begin_anywhere',
  ],
  'cqe_comp_caps.supported_format[0]': compressed,
  'cqe_comp_caps.supported_format[1]': compressed,
  'cqe_comp_caps.supported_format[2]': compressed,
  'striding_rq_caps.min_single_stride_log_num_of_bytes': striding,
  'striding_rq_caps.max_single_stride_log_num_of_bytes': striding,
  'striding_rq_caps.min_single_wqe_log_num_of_strides': striding,
  'striding_rq_caps.max_single_wqe_log_num_of_strides': striding,
  'striding_rq_caps.supported_qpts[8]': [
    'engine/libmlx5_forms_program.cc',
    'striding_receives_with_and_without_compression',
  ],
  max_dynamic_bfregs: ['engine/idle_program.cc', 'each_of_the_idle_ones_is_heard_alone'],
  max_clock_info_update_nsec: clock,
  max_mtu: ['devices.test.ts', 'of the MTU that is asked for'],
}

let announced: string[]
beforeAll(() => {
  const env = { ...process.env, IBVERBS_SOFT: 'loop', LD_PRELOAD: library }
  announced = execFileSync(program, { env, encoding: 'utf8' }).trimEnd().split('\n')
})

test('each capability and limit that is announced has a test, and each of the table is announced', () => {
  expect(announced.toSorted()).toEqual(Object.keys(tests).toSorted())
})

test.each(Object.entries(tests))('%s: its test is there', (_, [file, name]) => {
  const source = readFileSync(join(import.meta.dirname, file), 'utf8')
  const found = file.endsWith('.cc') ? source.includes(`TEST(${name})`) : source.includes(`'${name}'`)
  expect(found, `${file}: ${name}`).toBe(true)
})
