// What the control interface takes and gives: plain values, no pointers into the engine. Where a value is one of verbs'
// own (an IBV_ACCESS_* bit, an IBV_QP_* attribute mask), it is that very number, so that a front end copies it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace soft {

using Mac = std::array<uint8_t, 6>;
using Gid = std::array<uint8_t, 16>;

struct MemoryRegionAttributes {
  uint32_t pd = 0;
  void* base = nullptr;  // where the region lies in this process
  uint64_t iova = 0;     // the address by which work requests name its first byte (0 for IBV_ACCESS_ZERO_BASED)
  uint64_t length = 0;
  uint32_t access = 0;  // IBV_ACCESS_*
};

enum class WindowType : uint8_t { type1 = 1, type2 = 2 };  // ibv_mw_type

// What a compressed completion tells beside its byte count (mlx5-abi.h, mlx5_ib_cqe_comp_res_format).
enum class CqeCompression : uint8_t { none, hash, checksum, checksumStride };

// mlx5-abi.h, mlx5_ib_create_cq.
struct CompletionQueueAttributes {
  void* buffer = nullptr;    // entries * cqeSize bytes, every op_own preset to MLX5_CQE_INVALID << 4 by libmlx5
  uint32_t entries = 0;      // a power of two
  uint32_t cqeSize = 64;     // 64 or 128
  void* doorbell = nullptr;  // two big-endian words: consumer index, arm (mlx5.h, MLX5_CQ_SET_CI, MLX5_CQ_ARM_DB)
  CqeCompression compression = CqeCompression::none;
  bool ignoreOverrun = false;  // IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN
  const void* bell = nullptr;  // the register that is written after the arm word (MLX5_CQ_DOORBELL), or null: not known
  // Asked for the time of each completion; null: all of a step have that of its beginning, which costs nothing.
  uint64_t (*clock)() = nullptr;
  void* cookie = nullptr;  // comes back with each completion event
};

enum class QueuePairType : uint8_t { rc = 2, uc = 3, ud = 4, rawPacket = 8 };      // ibv_qp_type
enum class QueuePairState : uint8_t { reset = 0, init, rtr, rts, sqd, sqe, err };  // ibv_qp_state
enum class WorkQueueState : uint8_t { reset = 0, ready = 1, err = 2 };             // ibv_wq_state

// A ring of receive WQEs (mlx5_ib_create_qp's RQ part, mlx5_ib_create_wq).
struct ReceiveRing {
  void* buffer = nullptr;    // count << strideShift bytes
  uint32_t count = 0;        // a power of two, or 0 for none
  uint32_t strideShift = 4;  // log2 of the bytes of one WQE
  void* doorbell = nullptr;  // big-endian word: WQEs posted so far, modulo 65536 (word MLX5_RCV_DBR of the record)
  bool signature = false;    // MLX5_QP_FLAG_SIGNATURE: 16 bytes before the scatter list
};

// A ring of send WQE basic blocks of 64 bytes.
struct SendRing {
  void* buffer = nullptr;      // count * 64 bytes
  uint32_t count = 0;          // a power of two, or 0 for none
  void* doorbell = nullptr;    // big-endian word: blocks posted so far, modulo 65536 (word MLX5_SND_DBR of the record)
  const void* bell = nullptr;  // the blue flame register that is written after that, or null: not known
  bool ownBell = false;        // a thread domain's: no other thread writes there
};

struct QueuePairAttributes {
  QueuePairType type = QueuePairType::rc;
  uint32_t pd = 0;
  uint32_t sendCq = 0;     // cqn; may be 0 when sq.count is 0
  uint32_t receiveCq = 0;  // cqn; may be 0 when rq.count is 0 and srq is 0
  uint32_t srq = 0;        // srqn, or 0
  uint32_t userIndex = 0;  // uidx: what the CQEs carry (CQE version 1)
  SendRing sq;
  ReceiveRing rq;
  bool stripVlan = false;   // IBV_QP_CREATE_CVLAN_STRIPPING
  bool scatterFcs = false;  // IBV_QP_CREATE_SCATTER_FCS: 4 bytes of frame check sequence behind each frame received
  bool scatterReceives = false;  // cs_res of the QP context: short messages come with their completion
  bool scatterRequests = false;  // cs_req: so do the responses to reads and atomic operations
  uint32_t transportDomain = 0;  // the context's; of a raw packet QP
  bool ownUnicast = false,
       ownGroups = false;  // MLX5_QP_FLAG_TIR_ALLOW_SELF_LB_UC, …_MC: hears its own context's frames
  bool signalAll = false;  // sq_sig_all; libmlx5 sets the bit in each WQE itself, this only answers queries
  void* cookie = nullptr;  // comes back with each asynchronous event
};

// The address that a connected QP talks to, resolved by the front end as ib_uverbs and the GID table do.
struct PathAddress {
  Gid destinationGid{};
  Gid sourceGid{};       // the port's GID at sgid_index
  Mac destinationMac{};  // all zero: taken from a link-local GID (EUI-64), else the all-ones address
  uint8_t trafficClass = 0;
  uint8_t hopLimit = 64;
  uint32_t flowLabel = 0;
  uint8_t serviceLevel = 0;
};

// ibv_modify_qp: `mask` says which fields count (IBV_QP_STATE, IBV_QP_PORT, … of verbs.h).
struct QueuePairChange {
  uint32_t mask = 0;
  QueuePairState state = QueuePairState::reset;
  QueuePairState currentState = QueuePairState::reset;  // IBV_QP_CUR_STATE
  uint8_t port = 0;                                     // 1-based, IBV_QP_PORT
  uint32_t accessFlags = 0;
  uint32_t qkey = 0;
  uint32_t pathMtu = 1024;  // bytes, not the enum
  uint32_t destinationQpn = 0;
  uint32_t receivePsn = 0;
  uint32_t sendPsn = 0;
  uint8_t maxReadAtomic = 0;
  uint8_t maxDestinationReadAtomic = 0;
  uint8_t minRnrTimer = 0;  // the 5-bit code of the InfiniBand specification, table 45
  uint8_t timeout = 0;      // 4.096 µs * 2^timeout; 0: never
  uint8_t retryCount = 0;
  uint8_t rnrRetry = 0;  // 7: for ever
  PathAddress address;
};

// ibv_query_qp: the values of the last changes and the state as it is now.
struct QueuePairStatus {
  QueuePairType type;
  QueuePairState state;
  QueuePairChange attributes;  // mask is meaningless; sendPsn and receivePsn are the next ones
  uint32_t groups = 0;         // multicast groups that it is attached to
};

struct SharedReceiveQueueAttributes {
  uint32_t pd = 0;
  ReceiveRing ring;  // each WQE begins with mlx5_wqe_srq_next_seg
  uint32_t userIndex = 0;
  uint32_t limit = 0;
  void* cookie = nullptr;
};

// How a striding receive queue cuts its WQEs' memory (mlx5-abi.h, mlx5_ib_create_wq): each takes frames until its
// strides are used up.
struct Striding {
  uint8_t logStrideBytes = 0;  // single_stride_log_num_of_bytes; 0: the queue is not striding, a WQE takes one frame
  uint8_t logStrides = 0;      // single_wqe_log_num_of_strides
  // two_byte_shift_en: two zeroes come before each frame (mlx5dv.h), so that what follows its Ethernet header is
  // aligned
  bool shift = false;
};

struct WorkQueueAttributes {
  uint32_t pd = 0;
  uint32_t cq = 0;
  ReceiveRing ring;  // a striding queue's WQEs begin with mlx5_wqe_srq_next_seg
  Striding striding;
  uint32_t userIndex = 0;
  bool stripVlan = false;   // IBV_WQ_FLAGS_CVLAN_STRIPPING
  bool scatterFcs = false;  // IBV_WQ_FLAGS_SCATTER_FCS
  void* cookie = nullptr;
};

// A QP without rings of its own that spreads what it is steered over an indirection table (mlx5_ib_create_qp_rss).
struct RssQueuePairAttributes {
  uint32_t pd = 0;
  uint32_t indirectionTable = 0;
  uint64_t fields = 0;       // MLX5_RX_HASH_* bits
  std::vector<uint8_t> key;  // Toeplitz, 40 bytes; empty with fields 0: everything to the first queue
  uint32_t transportDomain = 0;
  bool ownUnicast = false, ownGroups = false;
};

enum class FlowType : uint8_t { normal = 0, allDefault = 1, multicastDefault = 2, sniffer = 3 };  // ibv_flow_attr_type

// What a flow specification looks at, in host byte order unless it is a byte array. A mask of all zeroes ignores the
// field.
struct FlowFields {
  Mac destinationMac{};
  Mac sourceMac{};
  uint16_t etherType = 0;  // behind any VLAN tag
  uint16_t vlanTag = 0;    // TCI
  uint8_t vlanPresent = 0;
  uint8_t ipVersion = 0;  // 4 or 6, 0 when neither
  uint8_t protocol = 0;   // IPv4 protocol, or IPv6 next header behind the extension headers
  uint8_t trafficClass = 0;
  uint8_t hopLimit = 0;
  uint8_t ipFlags = 0;  // IPv4 flags, 3 bits
  uint32_t flowLabel = 0;
  Gid sourceIp{};  // IPv4 in the first four bytes
  Gid destinationIp{};
  uint16_t sourcePort = 0;
  uint16_t destinationPort = 0;
  uint8_t tcpFlags = 0;
  uint32_t tunnelId = 0;  // VXLAN VNI, 24 bits
};

struct FlowMatch {
  FlowFields value;
  FlowFields mask;
};

struct FlowRule {
  uint8_t port = 1;
  FlowType type = FlowType::normal;
  uint16_t priority = 0;  // a lower number wins
  FlowMatch outer;
  FlowMatch inner;   // behind a VXLAN header; all masks zero when not asked for
  uint32_t qpn = 0;  // where to: a raw packet or an RSS QP; 0 with drop
  bool drop = false;
  bool tagged = false;
  uint32_t tag = 0;       // 24 bits: read by ibv_wc_read_flow_tag
  bool dontTrap = false;  // IBV_FLOW_ATTR_FLAGS_DONT_TRAP: the rules behind see the frame too
  bool egress = false;    // IBV_FLOW_ATTR_FLAGS_EGRESS: refused with EOPNOTSUPP
};

struct PortAttributes {
  Mac mac{};
  uint32_t mtu = 4096;  // bytes of an RDMA payload: the largest path MTU
};

struct PortCounters {
  uint64_t transmitFrames = 0, transmitBytes = 0, receiveFrames = 0, receiveBytes = 0;
  uint64_t receiveNoBuffer = 0;     // steered to a queue without a posted WQE ("out_of_buffer")
  uint64_t receiveTooLong = 0;      // datagrams that their receive WQE had no room for
  uint64_t receiveUnmatched = 0;    // no flow rule wanted it
  uint64_t receiveRuleDropped = 0;  // a drop rule took it
  uint64_t receiveChecksumBad = 0;  // L3 or L4 checksum wrong, delivered all the same
  uint64_t receiveIcrcBad = 0;      // RoCE frames dropped
  uint64_t receiveSteeredRoce = 0;  // frames taken by the RDMA engine
};

struct NicAttributes {
  std::vector<PortAttributes> ports;
  uint32_t minimumInlineHeader = 0;  // 0 or 18: what each raw packet WQE must carry inline (eth_min_inline)
  uint32_t maxMessageSize = 1u << 30;
  bool strict = false;  // what registers told counts, not what doorbell records say (nic/strict.cc)
};

}  // namespace soft
