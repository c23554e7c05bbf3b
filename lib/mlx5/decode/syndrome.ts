/** Error completions in words. */

import { CqeSyndrome, type CqeSyndromeName } from '../layout/names.js'
import { hexNumber } from './entry.js'

/** What each syndrome means and what usually causes it (InfiniBand 11.6.2, ibv_poll_cq(3), mlx5dv.h). */
const meanings: Readonly<Record<CqeSyndromeName, string>> = {
  LOCAL_LENGTH_ERR:
    'the message does not fit: a receive shorter than what came, or a request longer than the port’s longest message',
  LOCAL_QP_OP_ERR:
    'the request makes no sense to this queue pair: an opcode of another transport, a size (ds) that cuts a segment, too many elements, or inline data where none may be',
  LOCAL_PROT_ERR:
    'an element of the request is not within its memory region: the lkey is wrong or closed, the bytes lie outside it, or it has no LOCAL_WRITE',
  WR_FLUSH_ERR: 'the queue pair was in the error state already: the first completion that failed says why',
  MW_BIND_ERR: 'a memory window could not be bound: the region does not allow it, or the key is in use',
  BAD_RESP_ERR: 'the peer answered with what this queue pair had not asked for',
  LOCAL_ACCESS_ERR:
    'a write with immediate data reached memory here that does not allow it: the key, its bounds or REMOTE_WRITE',
  REMOTE_INVAL_REQ_ERR:
    'the peer refused the request: it is longer than the peer’s receive, or the peer’s queue pair does not allow this kind (qp_access_flags, max_dest_rd_atomic)',
  REMOTE_ACCESS_ERR:
    'the peer’s memory does not allow it: the rkey is wrong or closed, the bytes lie outside its region, or the access flag is missing',
  REMOTE_OP_ERR: 'the peer failed on its side: its receive has a wrong lkey, or its memory is gone',
  TRANSPORT_RETRY_EXC_ERR:
    'the peer did not acknowledge, however often it was asked (timeout, retry_cnt): it has ended or is not connected, its link is down, or no path leads to its GID',
  RNR_RETRY_EXC_ERR: 'the peer had no receive posted, however often it was asked (rnr_retry)',
  REMOTE_ABORTED_ERR: 'the peer aborted the operation',
}

/**
 * What the vendor's syndrome adds. NVIDIA does not document these; they are what cards are seen to report in public bug
 * reports, and what the software ConnectX reports.
 */
const vendors: Readonly<Record<number, string>> = {
  81: 'seen with a wrong lkey',
  82: 'seen with a wrong length',
  104: 'seen with a malformed request',
  129: 'seen when all retries were used up',
  135: 'seen when all RNR retries were used up',
  136: 'seen with a wrong rkey',
  138: 'seen with a request that the responder does not allow',
  139: 'seen when the responder failed',
  147: 'a page fault of on-demand paging (MLX5_CQE_VENDOR_SYNDROME_ODP_PFAULT)',
  249: 'seen with flushed requests',
}

/** A sentence about an error completion. */
export function explainSyndrome(syndrome: number, vendor: number): string {
  const known = (Object.keys(CqeSyndrome) as CqeSyndromeName[]).find((name) => CqeSyndrome[name] === syndrome)
  const meaning = known ? meanings[known] : `syndrome ${hexNumber(syndrome)} is not in mlx5dv.h`
  if (vendor === 0) return meaning
  const number = `vendor syndrome ${hexNumber(vendor)}`
  return `${meaning} (${number}${vendors[vendor] ? `: ${vendors[vendor]}` : ''})`
}
