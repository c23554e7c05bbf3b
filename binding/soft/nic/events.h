// What a NIC tells its driver: the event queue of a ConnectX (the PRM's EQEs), as a call.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace soft {

// The numbers of ibv_event_type.
enum class AsyncEventType : uint8_t {
  cqError = 0,
  qpFatal = 1,
  qpRequestError = 2,
  qpAccessError = 3,
  communicationEstablished = 4,
  sendQueueDrained = 5,
  deviceFatal = 8,
  portActive = 9,
  portError = 10,
  srqError = 14,
  srqLimitReached = 15,
  qpLastWqeReached = 16,
  wqFatal = 19,
};

struct AsyncEvent {
  AsyncEventType type;
  uint32_t number = 0;     // of the CQ, QP, SRQ or WQ, or the port
  void* cookie = nullptr;  // the object's
};

// Called from Nic::step and from control operations, with the NIC's lock held: do not call the NIC from here.
class Events {
 public:
  virtual ~Events() = default;
  virtual void completion(uint32_t cqn, void* cookie) = 0;
  virtual void asynchronous(const AsyncEvent& event) = 0;
  // What its owner should know although nothing failed, in words.
  virtual void notice(const std::string&) {}
  // A driver did what would hang on a card (nic/strict.cc): in words. At the end of a step: who steps by hand has it
  // thrown.
  virtual void violation(const std::string& words) { throw std::logic_error(words); }
};

}  // namespace soft
