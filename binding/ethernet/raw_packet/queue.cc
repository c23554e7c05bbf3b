#include "ethernet/raw_packet/queue.h"

#include <net/ethernet.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "argument.h"
#include "clock.h"
#include "environment.h"
#include "ethernet/records.h"
#include "hot_call.h"

namespace ethernet {
namespace {

constexpr uint32_t kChunk = 64;
// At least every so many sends one is signalled; the last of each call always is.
constexpr uint32_t kSignalEvery = 32;
constexpr uint32_t kVlanTag = 4;
// Nanoseconds that a close waits for sends at most.
constexpr uint64_t kPatience = 200000000;
// sll_pkttype, packet(7)
enum PacketType : uint32_t { kHost, kBroadcast, kMulticast, kOtherHost };

}  // namespace

RawPacketQueue::RawPacketQueue(Parts parts, Napi::Object options)
    : Handle(kKind, {&parts.pair, &parts.region, &parts.overflow}),
      parts_(parts),
      frames_(options),
      fill_(options.Env(), options.Get("fill"), "fill", AddressRecord::kWords),
      receive_(options.Env(), options.Get("receive"), "receive", DescriptorRecord::kWords),
      transmit_(options.Env(), options.Get("transmit"), "transmit", DescriptorRecord::kWords),
      completion_(options.Env(), options.Get("completion"), "completion", AddressRecord::kWords),
      receives_(kChunk, 2),
      sends_(kChunk, 1) {
  Napi::Env env = options.Env();
  batch_ = argument::field<uint32_t>(options, "batch");
  longest_ = argument::field<uint32_t>(options, "longest");
  sendDepth_ = argument::field<uint32_t>(options, "sendDepth");
  receiveDepth_ = argument::field<uint32_t>(options, "receiveDepth");
  if (argument::boolean(env, options.Get("checksum"), "checksum")) sendFlags_ |= IBV_SEND_IP_CSUM;
  if (batch_ == 0 || batch_ > 1024) throwArgumentRange(env, "batch", "from 1 to 1024");
  if (parts_.region.memory.data() != frames_.data() || parts_.region.memory.length() < frames_.length()) {
    throwArgumentRange(env, "region", "of the arena");
  }
  if (&parts_.region.domain != &parts_.pair.domain || &parts_.overflow.domain != &parts_.pair.domain) {
    throwArgumentRange(env, "region", "of the queue pair's own protection domain");
  }
  // What the queue pair was created with bounds what its completion queues were promised.
  const verbs::QueuePair::Sizes& sizes = parts_.pair.sizes();
  if (sendDepth_ == 0 || sendDepth_ > sizes.maxSendWr || receiveDepth_ == 0 || receiveDepth_ > sizes.maxReceiveWr ||
      sizes.maxReceiveSge < 2) {
    throwArgumentRange(env, "pair", "as deep as its queues, with two elements a receive");
  }
  if (!options.Get("own").IsTypedArray()) throwArgumentType(env, "own", "six bytes");
  const auto own = options.Get("own").As<Napi::Uint8Array>();
  if (own.ByteLength() != own_.size()) throwArgumentRange(env, "own", "six bytes");
  memcpy(own_.data(), own.Data(), own_.size());

  size_t sent = 1;
  while (sent < sendDepth_) sent *= 2;
  sent_.resize(sent);
  sentMask_ = static_cast<uint32_t>(sent - 1);
  const ibv_mr* overflow = parts_.overflow.ibv;
  for (uint32_t i = 0; i < kChunk; i++) {
    ibv_sge* place = receives_.elements(i);
    place[0].lkey = parts_.region.ibv->lkey;
    place[0].length = frames_.room();
    place[1] = {reinterpret_cast<uintptr_t>(overflow->addr),
                static_cast<uint32_t>(std::min<size_t>(overflow->length, UINT32_MAX / 2)), overflow->lkey};
    receives_[i].num_sge = 2;
    sends_.elements(i)->lkey = parts_.region.ibv->lkey;
    sends_[i].num_sge = 1;
    sends_[i].opcode = IBV_WR_SEND;
  }
}

int RawPacketQueue::release(const char**) {
  // Destroying the queue pair, the next step, drops what is posted. So this first waits for the sends that the device
  // has accepted, kPatience at most.
  const uint64_t deadline = monotonicNanoseconds() + kPatience;
  while (sendTail_ != sendHead_ && !failure_ && monotonicNanoseconds() < deadline) {
    ibv_wc completions[kChunk];
    const int got = ibv_poll_cq(parts_.pair.sendQueue.ibv, kChunk, completions);
    if (got < 0) break;
    for (int i = 0; i < got; i++) {
      sendTail_ = static_cast<uint32_t>(completions[i].wr_id) + 1;
      if (completions[i].status != IBV_WC_SUCCESS) failure_ = completions[i].status;
    }
    if (got == 0) sched_yield();
  }
  return 0;
}

int RawPacketQueue::postReceives() {
  for (;;) {
    uint32_t available;
    if (!fill_.available(&available)) return -ERANGE;
    const uint32_t wanted = std::min({available, receiveDepth_ - receiving_, kChunk});
    uint32_t count = 0;
    uint32_t frame;
    for (; count < wanted && frames_.at(fill_.read(count, AddressRecord::kAddress), &frame); count++) {
      receives_.elements(count)->addr = reinterpret_cast<uintptr_t>(frames_.bytes(frames_.addressOf(frame)));
      receives_[count].wr_id = frame;
    }
    if (count == 0) {
      if (wanted == 0) return 0;
      fill_.consume(1);
      return -EFAULT;
    }
    int error;
    const uint32_t posted = receives_.post(parts_.pair.ibv, count, &error);
    fill_.consume(posted);
    receiving_ += posted;
    if (error) return -error;
  }
}

int RawPacketQueue::take() {
  uint32_t room;
  if (!receive_.room(&room)) return -ERANGE;
  room = std::min(room, batch_);
  uint32_t taken = 0;
  while (taken < room) {
    ibv_wc completions[kChunk];
    const int wanted = static_cast<int>(std::min(room - taken, kChunk));
    const int got = ibv_poll_cq(parts_.pair.receiveQueue.ibv, wanted, completions);
    if (got < 0) return -EIO;
    uint32_t good = 0;
    for (int i = 0; i < got; i++) {
      const ibv_wc& completion = completions[i];
      receiving_--;
      if (completion.status != IBV_WC_SUCCESS) {
        if (!failure_) failure_ = completion.status;
        continue;
      }
      const auto frame = static_cast<uint32_t>(completion.wr_id);
      describe(frame, completion.byte_len, completion.wc_flags);
      // The rest of the record is zero for good, and the length is in the frame's own.
      receive_.write(good, DescriptorRecord::kAddress, frames_.addressOf(frame));
      good++;
    }
    receive_.produce(good);
    taken += good;
    if (got < wanted) break;
  }
  received_ += taken;
  return taken == 0 && failure_ ? -EIO : static_cast<int>(taken);
}

int RawPacketQueue::receive() {
  const int error = replenish();
  return error ? error : take();
}

uint32_t RawPacketQueue::packetType(const uint8_t* destination) const {
  static constexpr uint8_t kAll[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  if (memcmp(destination, own_.data(), own_.size()) == 0) return kHost;
  if ((destination[0] & 1) == 0) return kOtherHost;
  return memcmp(destination, kAll, sizeof kAll) == 0 ? kBroadcast : kMulticast;
}

void RawPacketQueue::describe(uint32_t frame, uint32_t original, unsigned flags) {
  const uint32_t told = flags & IBV_WC_IP_CSUM_OK ? uint32_t{FrameRecord::kChecksumValid} : 0;
  if (original <= frames_.room()) {
    // The packet type is read from the frame when it is asked for: here its bytes are in another processor's cache.
    frames_.describeBriefly(frame, original, told);
    return;
  }
  truncated_++;
  FrameMetadata metadata;
  metadata.length = frames_.room();
  metadata.original = original;
  metadata.flags = told | FrameRecord::kTruncated |
                   packetType(frames_.bytes(frames_.addressOf(frame))) << FrameRecord::kPacketTypeShift;
  frames_.describe(frame, metadata);
}

void RawPacketQueue::complete(uint32_t address, uint32_t status) {
  completion_.write(0, AddressRecord::kAddress, address);
  completion_.write(0, AddressRecord::kStatus, status);
  completion_.produce(1);
}

// A completion also completes all unsignalled sends before it: the device completes in order.
int RawPacketQueue::reap() {
  for (;;) {
    uint32_t room;
    if (!completion_.room(&room)) return -ERANGE;
    if (room < sendDepth_) return 0;  // only when JavaScript does not empty the ring
    ibv_wc completions[kChunk];
    const int got = ibv_poll_cq(parts_.pair.sendQueue.ibv, kChunk, completions);
    if (got < 0) return -EIO;
    uint32_t done = 0;
    for (int i = 0; i < got; i++) {
      const bool failed = completions[i].status != IBV_WC_SUCCESS;
      if (failed && !failure_) failure_ = completions[i].status;
      const uint32_t end = static_cast<uint32_t>(completions[i].wr_id) + 1;
      while (sendTail_ != end) {
        completion_.write(done, AddressRecord::kAddress, sent_[sendTail_ & sentMask_]);
        sendTail_++;
        completion_.write(done++, AddressRecord::kStatus, failed && sendTail_ == end ? EIO : 0);
      }
    }
    completion_.produce(done);
    if (got < static_cast<int>(kChunk)) return 0;
  }
}

// Posts a chain. `*posted` says how many records it took; the errno is of the next one.
int RawPacketQueue::postSends(uint32_t available, uint32_t* posted) {
  const uint32_t wanted = std::min({available, sendDepth_ - (sendHead_ - sendTail_), kChunk});
  uint32_t count = 0;
  int obstacle = wanted == 0 ? EAGAIN : 0;
  for (; count < wanted; count++) {
    const uint32_t address = transmit_.read(count, DescriptorRecord::kAddress);
    const uint32_t length = transmit_.read(count, DescriptorRecord::kLength);
    uint32_t frame;
    if (transmit_.read(count, DescriptorRecord::kAddressHigh) != 0 || !frames_.holds(address, length, &frame)) {
      obstacle = EFAULT;
      break;
    }
    // A VLAN tag may exceed the MTU, as with every Ethernet device.
    const uint8_t* bytes = frames_.bytes(address);
    if (length > longest_ && !(length <= longest_ + kVlanTag && bytes[12] == 0x81 && bytes[13] == 0)) {
      obstacle = EMSGSIZE;
      break;
    }
    sends_.elements(count)->addr = reinterpret_cast<uintptr_t>(bytes);
    sends_.elements(count)->length = length;
    ibv_send_wr& request = sends_[count];
    request.wr_id = sendHead_ + count;
    request.send_flags = sendFlags_;
    if (transmit_.read(count, DescriptorRecord::kOptions) & DescriptorRecord::kFinish) {
      request.send_flags |= IBV_SEND_IP_CSUM;
    }
    if ((sendHead_ + count) % kSignalEvery == 0) request.send_flags |= IBV_SEND_SIGNALED;
    sent_[(sendHead_ + count) & sentMask_] = address;
  }
  *posted = 0;
  if (count == 0) return obstacle;
  sends_[count - 1].send_flags |= IBV_SEND_SIGNALED;
  int error;
  *posted = sends_.post(parts_.pair.ibv, count, &error);
  sendHead_ += *posted;
  transmit_.consume(*posted);
  return error ? error : obstacle;
}

int RawPacketQueue::transmit() {
  int error = reap();
  if (error) return error;
  for (;;) {
    uint32_t available, room;
    if (!transmit_.available(&available) || !completion_.room(&room)) return -ERANGE;
    if (failure_) return -EIO;
    if (available == 0) return 0;
    uint32_t posted;
    error = postSends(std::min(available, room), &posted);
    if (error == EAGAIN || error == ENOMEM) {
      // Full: some sends may have completed by now.
      const uint32_t before = sendTail_;
      error = reap();
      if (error) return error;
      if (sendTail_ == before) return -EAGAIN;
    } else if (error && posted == 0) {
      // The frame itself is at fault: it is reported, and the frames behind it wait for the next call.
      if (error == EFAULT || error == EMSGSIZE || error == EINVAL) {
        complete(transmit_.read(0, DescriptorRecord::kAddress), static_cast<uint32_t>(error));
        transmit_.consume(1);
      }
      return -error;
    }
  }
}

int RawPacketQueue::arm(bool readable, bool writable) {
  verbs::CompletionQueue& receiveQueue = parts_.pair.receiveQueue;
  verbs::CompletionQueue& sendQueue = parts_.pair.sendQueue;
  int error = readable ? receiveQueue.arm(false) : 0;
  if (!error && writable) error = sendQueue.arm(false);
  if (error) return -error;
  // What completed before the arming raises no event.
  if (readable) {
    const int count = take();
    if (count != 0) return count < 0 ? count : 1;
  }
  if (!writable) return 0;
  const uint32_t before = sendTail_;
  error = reap();
  return error ? error : sendTail_ != before;
}

namespace {

RawPacketQueue& queueOf(Environment& environment, uint32_t id) {
  return environment.handle<RawPacketQueue>(id, "packet queue");
}

// open({ pair, region, overflow, … }): handle
Napi::Value open(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  Napi::Object options = argument::object(info.Env(), info[0], "options");
  RawPacketQueue::Parts parts{environment.handle<verbs::QueuePair>(options.Get("pair"), "queue pair"),
                              environment.handle<verbs::MemoryRegion>(options.Get("region"), "memory region"),
                              environment.handle<verbs::MemoryRegion>(options.Get("overflow"), "memory region")};
  return environment.open(std::make_unique<RawPacketQueue>(parts, options));
}

// receiveBell(handle, mailbox), transmitBell(handle, mailbox): functions
Napi::Value receiveBell(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  return environment.handle<RawPacketQueue>(info, 0, "packet queue").receiveBell(info.Env(), info[1]);
}
Napi::Value transmitBell(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  return environment.handle<RawPacketQueue>(info, 0, "packet queue").transmitBell(info.Env(), info[1]);
}

// replenish(handle): as the class says
int32_t replenish(Environment& environment, const uint32_t* numbers) {
  return queueOf(environment, numbers[0]).replenish();
}

// arm(handle, readable, writable): 1 when there is something already, 0, or a negative errno
int32_t arm(Environment& environment, const uint32_t* numbers) {
  return queueOf(environment, numbers[0]).arm(numbers[1] != 0, numbers[2] != 0);
}

// statistics(handle): { received, truncated, failure }
Napi::Value statistics(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  RawPacketQueue& queue = Environment::of(env).handle<RawPacketQueue>(info, 0, "packet queue");
  Napi::Object result = Napi::Object::New(env);
  result.Set("received", Napi::Number::New(env, static_cast<double>(queue.received())));
  result.Set("truncated", Napi::Number::New(env, static_cast<double>(queue.truncated())));
  result.Set("failure", Napi::Number::New(env, queue.failure()));
  return result;
}

}  // namespace

void initializeRawPacketQueue(Napi::Env env, Napi::Object exports) {
  Napi::Object raw = Napi::Object::New(env);
  raw.Set("open", Napi::Function::New<open>(env, "open"));
  raw.Set("receiveBell", Napi::Function::New<receiveBell>(env, "receiveBell"));
  raw.Set("transmitBell", Napi::Function::New<transmitBell>(env, "transmitBell"));
  hot_call::define<1, replenish>(env, raw, "replenish");
  hot_call::define<3, arm>(env, raw, "arm");
  raw.Set("statistics", Napi::Function::New<statistics>(env, "statistics"));
  exports.Set("raw", raw);
}

}  // namespace ethernet
