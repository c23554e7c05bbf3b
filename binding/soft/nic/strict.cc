// Strict mode: what a register told is the law, not what the doorbell record says. A driver that forgets to write the
// register, or writes it before the record, works where a NIC polls the records, and hangs on a card: the card reads
// the record when the register was written, finds what it said before, and hears of nothing more.
//
// A register says that much only where one queue alone rings in it, because a later ring hides an earlier one: a thread
// domain's, for the sends of one queue pair (mlx5-abi.h, MLX5_QP_FLAG_BFREG_INDEX), and for arming that of a context
// with a single completion queue (libmlx5 mlx5_arm_cq: uar[0]). There
// - sends are taken up to the WQE that the register told of, and an arming counts once the register told it;
// - a register that is ahead of its record is a violation. That is certain whenever it is seen: the register is read
//   first, and a driver that is right has written the record before. It is seen whenever the writer was held in the
//   fault of its store while the record was read (driver/held_stores.h);
// - a WQE that was copied into the register (BlueFlame) is compared with the ring's: a card may take either.
#include <cstdio>

#include "nic/engine.h"

namespace soft {

namespace {

// From `from` on to `to`, modulo 65536: whether there is a way forward.
bool ahead(uint16_t to, uint16_t from) { return static_cast<int16_t>(static_cast<uint16_t>(to - from)) > 0; }

template <typename... Values>
std::string text(const char* format, Values... values) {
  char line[512];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

constexpr const char* kOrder =
    "A card would read the record, find nothing new and wait for ever: store the record, then a barrier "
    "(udma_to_device_barrier, mmio_wc_start), then the register";

}  // namespace

void Engine::lookAtRegisters() {
  queues_.look(
      [this](uint32_t qpn) {
        if (QueuePair* qp = qps_.find(qpn)) activate(*qp);
      },
      [this](const DoorbellRegisters::Watch& watch, const DoorbellRegisters::Told& told) {
        tell(*qps_.find(watch.number), told);
      });
  arms_.look(
      [this](uint32_t cqn) {
        if (CompletionQueue* cq = cqs_.find(cqn)) touch(*cq);
      },
      [this](const DoorbellRegisters::Watch& watch, const DoorbellRegisters::Told& told) {
        tell(*cqs_.find(watch.number), told);
      });
}

void Engine::beginRings(QueuePair& qp) {
  if (qp.rings == nullptr) qp.rings = std::make_unique<Rings>();
  qp.rings->told = qp.sendHead;
  const auto* bell = static_cast<const uint8_t*>(qp.sq.bell);
  for (size_t half = 0; half < 2; ++half) std::memcpy(qp.rings->copies[half], bell + half * 256, 256);
}

// The first eight bytes of a control segment: opmod_idx_opcode and qpn_ds.
void Engine::tell(QueuePair& qp, const DoorbellRegisters::Told& told) {
  const auto index = static_cast<uint16_t>(told.word >> 40);
  const uint32_t segments = told.word & 0x3f;
  const auto end = static_cast<uint16_t>(index + std::max(1u, (segments + 3) / 4));
  // Whose rings were all seen: with the next WQE no other copy can have come and gone in this half.
  const bool follows = index == qp.rings->told;
  const bool next = qp.watch.judged() && follows && !qp.rings->unseen[told.part];
  qp.rings->unseen[told.part] = false;
  if (!follows) qp.rings->unseen[told.part ^ 1] = true;
  uint32_t wrong = 0;
  const bool same = copiedAsPosted(qp, told, index, segments, &wrong) || !next;
  if ((told.word >> 8 & 0xffffff) != qp.number) return;  // no ring of this queue: the card would look elsewhere
  if (qp.state == QueuePairState::reset) return;
  const bool known = qp.watch.judged();
  qp.watch.unknown &= static_cast<uint8_t>(~(1u << told.part));
  uint32_t record = qp.watch.record;
  if (!qp.watch.caught && !loadDoorbell(qp.sq.doorbell, &record)) return;  // sendBacklog() finds that out
  if (qp.state == QueuePairState::err) {
    // Nothing is taken, and nothing is judged.
  } else if (ahead(end, static_cast<uint16_t>(record))) {
    violate(qp, text("queue pair 0x%06x: its register told of the WQE with index %u, up to block %u, while its "
                     "doorbell record said %u. %s",
                     qp.number, index, end, static_cast<uint16_t>(record), kOrder));
  } else if (!same) {
    violate(qp,
            text("queue pair 0x%06x: byte %u of the WQE with index %u that was copied into its register (BlueFlame) "
                 "is not the ring's. A card may take either: the WQE must be complete in the ring before it is "
                 "copied, and stay until its completion",
                 qp.number, wrong, index));
  }
  // Until all was told the records count. Of two halves the one that is looked at last may be the older.
  if (!known && ahead(qp.sendHead, qp.rings->told)) qp.rings->told = qp.sendHead;
  if (ahead(end, qp.rings->told)) qp.rings->told = end;
}

// Whether what is new in the register behind its first eight bytes is the WQE at `index` of `segments`, as far as it
// has come: a copy may be looked at in its midst, so each byte is the ring's, or what was there before, or came since
// then of the WQE before it in this half.
bool Engine::copiedAsPosted(QueuePair& qp, const DoorbellRegisters::Told& told, uint16_t index, uint32_t segments,
                            uint32_t* wrong) {
  uint8_t* before = qp.rings->copies[told.part];
  uint8_t* coming = qp.rings->coming[told.part];
  uint8_t now[256];
  for (size_t i = 0; i < sizeof now; i += 8) {
    const uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(told.at + i), __ATOMIC_ACQUIRE);
    std::memcpy(now + i, &word, 8);
  }
  const uint32_t length = std::min<uint32_t>(segments * SendWqe::kSegment, sizeof now);
  bool same = true;
  SendWqe posted;
  if (length > 8 && posted.fetch(qp.sq.buffer, qp.sq.count, index)) {
    for (uint32_t i = 8; i < length && same; ++i) {
      same = now[i] == before[i] || now[i] == posted.bytes[i] || now[i] == coming[i];
      *wrong = i;
    }
    std::memcpy(coming, posted.bytes, length);
  }
  std::memcpy(before, now, sizeof now);
  return same;
}

// MLX5_CQ_DOORBELL: the word that the record must have (sequence number, command, consumer index), and the CQ's number.
void Engine::tell(CompletionQueue& cq, const DoorbellRegisters::Told& told) {
  if (static_cast<uint32_t>(told.word) != cq.number) return;
  const auto arm = static_cast<uint32_t>(told.word >> 32);
  const bool known = cq.watch.judged();
  cq.watch.unknown = 0;
  uint32_t record = cq.watch.record;
  if (!cq.watch.caught && !loadDoorbell(cq.armRecord(), &record)) return;  // takeEvent() finds that out
  // The record may be newer than what is told, and where two threads arm at once even another: it is wrong when it
  // still says what was told before.
  if (known && !cq.error() && record != arm && record == cq.told()) {
    violate(cq, text("completion queue 0x%06x: its register told of the arming at consumer index %u (sequence number "
                     "%u), while its doorbell record %s. %s",
                     cq.number, arm & 0xffffff, arm >> 28 & 3,
                     record == CompletionQueue::kNotArmed
                         ? "had not been written"
                         : text("said %u (sequence number %u)", record & 0xffffff, record >> 28 & 3).c_str(),
                     kOrder));
  }
  cq.tell(arm);
}

void Engine::violate(QueuePair& qp, const std::string& words) {
  violations_.push_back(words);
  toError(qp);
  raise(AsyncEventType::qpFatal, qp);
}

void Engine::violate(CompletionQueue& cq, const std::string& words) {
  violations_.push_back(words);
  cq.fail();
  touch(cq);
}

void Engine::tellViolations() {
  std::vector<std::string> all;
  all.swap(violations_);
  for (const std::string& words : all) events_.violation(words);
}

bool Engine::judges(const void* bell, size_t size) {
  bool alone = false;
  const auto found = [&alone](const DoorbellRegisters::Watch&, const void*) { alone = true; };
  queues_.within(bell, size, found);
  arms_.within(bell, size, found);
  return alone;
}

BellState Engine::atDoor(const void* address, size_t size) {
  lookAtRegisters();  // nothing is stored there meanwhile: what was told is known
  if (size == 1 && queues_.amidst(address)) return BellState::told;
  BellState state = BellState::shared;
  uint32_t registers = 0;
  const auto count = [&registers](const DoorbellRegisters::Watch&, const void*) { ++registers; };
  queues_.within(address, size, count);
  arms_.within(address, size, count);
  // Where it is not known which of several it is, others may be written while the one store is done.
  if (registers > 1) return BellState::waiting;
  const auto catchWriter = [&state](DoorbellRegisters::Watch& watch, const void* record, uint32_t told, uint32_t mask) {
    uint32_t now = 0;
    watch.caught = watch.judged() && loadDoorbell(record, &now);
    watch.record = now;
    const bool news = !watch.caught || ((now ^ told) & mask) != 0;
    if (state != BellState::told) state = news ? BellState::waiting : BellState::told;
  };
  queues_.within(address, size, [&](DoorbellRegisters::Watch& watch, const void* record) {
    catchWriter(watch, record, qps_.find(watch.number)->rings->told, 0xffff);
  });
  arms_.within(address, size, [&](DoorbellRegisters::Watch& watch, const void* record) {
    catchWriter(watch, record, cqs_.find(watch.number)->told(), ~0u);
  });
  // With the door open more than one store may follow: what the record says now is not what it says at the last.
  if (state == BellState::waiting) stored(address, size);
  return state;
}

void Engine::stored(const void* address, size_t size) {
  lookAtRegisters();
  const auto let = [](DoorbellRegisters::Watch& watch, const void*) { watch.caught = false; };
  queues_.within(address, size, let);
  arms_.within(address, size, let);
}

uint32_t Engine::rings(const void* address, size_t size) const {
  return queues_.changesWithin(address, size) + arms_.changesWithin(address, size);
}

}  // namespace soft
