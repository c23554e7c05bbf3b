import type { CompletionOpcodeName, CompletionStatusName } from './constants.js'

/** What the peer's region and its queue pair must allow, for each kind of request. */
const rights: Partial<Record<CompletionOpcodeName, { kind: string; region: string; pair: string }>> = {
  RDMA_WRITE: { kind: 'a write', region: 'LOCAL_WRITE and REMOTE_WRITE', pair: 'REMOTE_WRITE' },
  RDMA_READ: { kind: 'a read', region: 'REMOTE_READ', pair: 'REMOTE_READ' },
  COMP_SWAP: { kind: 'an atomic', region: 'LOCAL_WRITE and REMOTE_ATOMIC', pair: 'REMOTE_ATOMIC' },
  FETCH_ADD: { kind: 'an atomic', region: 'LOCAL_WRITE and REMOTE_ATOMIC', pair: 'REMOTE_ATOMIC' },
}

/** The usual cause of a status and how to fix it; '' where the name says it all. */
export function statusHint(status: CompletionStatusName, opcode: CompletionOpcodeName): string {
  const needed = rights[opcode]
  switch (status) {
    case 'LOC_PROT_ERR':
      return 'a region of ours was closed meanwhile, or it has no LOCAL_WRITE'
    case 'REM_ACCESS_ERR':
      return needed === undefined
        ? "the peer's region was closed, or does not allow it"
        : `${needed.kind} needs ${needed.region} in the access of the peer's region (registerMemory), which must still be open and have all of the bytes`
    case 'REM_INV_REQ_ERR':
      return needed === undefined
        ? "the message is longer than the peer's receive"
        : `${needed.kind} needs ${needed.pair} in the access of the peer's queue pair (connect, initialize)`
    case 'RETRY_EXC_ERR':
      return 'the peer did not acknowledge: it has ended or is not connected, its link is down, or no path leads to its GID'
    case 'RNR_RETRY_EXC_ERR':
      return 'the peer has no receive posted'
    case 'WR_FLUSH_ERR':
      return 'the queue pair was in the error state already: the first completion that failed says why'
    default:
      return ''
  }
}
