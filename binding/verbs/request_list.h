// A list of work requests, made once and posted again and again, with the scatter/gather elements of each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "verbs/rdma_core.h"

namespace verbs {

inline int post(ibv_qp* pair, ibv_send_wr* first, ibv_send_wr** bad) { return ibv_post_send(pair, first, bad); }
inline int post(ibv_qp* pair, ibv_recv_wr* first, ibv_recv_wr** bad) { return ibv_post_recv(pair, first, bad); }

// `Request` is ibv_send_wr or ibv_recv_wr. Its `next` and `sg_list` are set here, and stay.
template <typename Request>
class RequestList {
 public:
  RequestList(uint32_t capacity, uint32_t elementsEach)
      : elementsEach_(elementsEach), requests_(capacity), elements_(size_t{capacity} * elementsEach) {
    for (uint32_t i = 0; i < capacity; i++) {
      requests_[i].next = i + 1 < capacity ? &requests_[i + 1] : nullptr;
      requests_[i].sg_list = elements(i);
    }
  }
  RequestList(const RequestList&) = delete;

  Request& operator[](uint32_t i) { return requests_[i]; }
  ibv_sge* elements(uint32_t i) { return elements_.data() + size_t{i} * elementsEach_; }

  // Posts the first `count`, at least one. Returns how many the provider took; `*error` is the errno with which it
  // refused the next one, 0 when it took all.
  uint32_t post(ibv_qp* pair, uint32_t count, int* error) {
    Request& last = requests_[count - 1];
    Request* const behind = std::exchange(last.next, nullptr);
    Request* bad = nullptr;
    *error = verbs::post(pair, requests_.data(), &bad);
    last.next = behind;
    if (!*error) return count;
    return bad ? static_cast<uint32_t>(bad - requests_.data()) : 0;
  }

 private:
  const uint32_t elementsEach_;
  std::vector<Request> requests_;
  std::vector<ibv_sge> elements_;
};

}  // namespace verbs
