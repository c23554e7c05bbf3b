#include "uverbs/event_file.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace soft::uverbs {

EventFile::~EventFile() {
  if (ours_ >= 0) ::close(ours_);
}

int EventFile::open() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) return errno;
  ours_ = ends[0];
  theirs_ = ends[1];
  const int bytes = 1 << 20;
  setsockopt(ours_, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);  // as much of it as net.core.wmem_max allows
  return 0;
}

void EventFile::closed() {
  const std::lock_guard<std::mutex> guard(mutex_);
  theirs_ = -1;
  waiting_.clear();
}

void EventFile::completion(uint64_t element) { push({element, 0, sizeof(ib_uverbs_comp_event_desc)}); }

void EventFile::asynchronous(uint64_t element, uint32_t type) {
  push({element, type, sizeof(ib_uverbs_async_event_desc)});
}

void EventFile::push(const Event& event) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (theirs_ < 0) return;
  if (!waiting_.empty() || !send(event)) waiting_.push_back(event);
}

bool EventFile::send(const Event& event) {
  ib_uverbs_async_event_desc description{};
  description.element = event.element;  // ib_uverbs_comp_event_desc is its first member alone
  description.event_type = event.type;
  return ::send(ours_, &description, event.size, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(event.size) ||
         errno != EAGAIN;
}

bool EventFile::flush() {
  const std::lock_guard<std::mutex> guard(mutex_);
  while (!waiting_.empty() && send(waiting_.front())) waiting_.pop_front();
  return waiting_.empty();
}

uint32_t EventFile::purge(uint64_t element) {
  const std::lock_guard<std::mutex> guard(mutex_);
  uint32_t purged = 0;
  std::vector<Event> kept;
  ib_uverbs_async_event_desc description{};
  for (ssize_t size; theirs_ >= 0 && (size = recv(theirs_, &description, sizeof description, MSG_DONTWAIT)) > 0;) {
    if (description.element == element) {
      purged++;
    } else {
      kept.push_back({description.element, description.event_type, static_cast<uint32_t>(size)});
    }
    description = {};
  }
  for (auto event = waiting_.begin(); event != waiting_.end();) {
    if (event->element == element) {
      purged++;
      event = waiting_.erase(event);
    } else {
      ++event;
    }
  }
  waiting_.insert(waiting_.begin(), kept.begin(), kept.end());
  while (!waiting_.empty() && send(waiting_.front())) waiting_.pop_front();
  return purged;
}

}  // namespace soft::uverbs
