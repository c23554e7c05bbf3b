// A descriptor that a program reads events from: a completion channel or a context's asynchronous events
// (drivers/infiniband/core/uverbs_main.c, ib_uverbs_event_read). One read gives one event, as long as its structure in
// rdma/ib_user_verbs.h; poll, O_NONBLOCK and the rest are those of the socket pair that it really is.
#pragma once

#include <rdma/ib_user_verbs.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>

namespace soft::uverbs {

class EventFile {
 public:
  EventFile() = default;
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  // An errno or 0. The program's end is `descriptor()`; it belongs to the program, which closes it.
  int open();
  int descriptor() const { return theirs_; }
  // The program has closed its end, whose number may be another file's by now.
  void closed();

  // ib_uverbs_comp_event_desc
  void completion(uint64_t element);
  // ib_uverbs_async_event_desc
  void asynchronous(uint64_t element, uint32_t type);

  // Takes back the events of `element` that were not read yet, as ib_uverbs_release_ucq does; says how many.
  uint32_t purge(uint64_t element);

  // Sends what did not fit in the socket. False when something is still left.
  bool flush();

 private:
  struct Event {
    uint64_t element;
    uint32_t type;
    uint32_t size;
  };
  bool send(const Event& event);
  void push(const Event& event);

  std::mutex mutex_;
  int ours_ = -1, theirs_ = -1;
  std::deque<Event> waiting_;  // a kernel's list has no bound, a socket's buffer has
};

}  // namespace soft::uverbs
