#include "verbs/rdma_core.h"

#include <cerrno>

#include "run_time_library.h"

// Macros that wrap the functions defined below (verbs.h).
#undef ibv_get_device_list
#undef ibv_query_port
#undef ibv_reg_mr
#undef ibv_reg_mr_iova

namespace rdma_core {
namespace {

RunTimeLibrary opened() {
  RunTimeLibrary library("libibverbs.so.1");
  // ibv_fork_init(3) must precede the first registration. On kernels that copy pinned pages at fork (5.12) it finds
  // that it is not needed, and costs nothing.
  using ForkInit = int (*)();
  if (auto forkInit = reinterpret_cast<ForkInit>(library.symbol("ibv_fork_init"))) forkInit();
  return library;
}

const RunTimeLibrary& library() {
  static const RunTimeLibrary instance = opened();  // C++11: initialised once, whichever thread comes first
  return instance;
}

int minusOne() {
  errno = ENOSYS;
  return -1;
}

}  // namespace

const std::string& unavailable() { return library().error(); }

std::string libraryPath() {
  Dl_info info;
  void* address = library().symbol("ibv_get_device_list");
  return address && dladdr(address, &info) ? info.dli_fname : "";
}

}  // namespace rdma_core

using rdma_core::minusOne;

extern "C" {

FORWARD(rdma_core::library(), ibv_device**, ibv_get_device_list, (int* count), (count), null<ibv_device*>())
FORWARD(rdma_core::library(), void, ibv_free_device_list, (ibv_device** list), (list), (void)0)
FORWARD(rdma_core::library(), const char*, ibv_get_device_name, (ibv_device* device), (device), "")
FORWARD(rdma_core::library(), int, ibv_get_device_index, (ibv_device* device), (device), -1)
FORWARD(rdma_core::library(), __be64, ibv_get_device_guid, (ibv_device* device), (device), 0)
FORWARD(rdma_core::library(), ibv_context*, ibv_open_device, (ibv_device* device), (device), null<ibv_context>())
FORWARD(rdma_core::library(), int, ibv_close_device, (ibv_context* context), (context), ENOSYS)

FORWARD(rdma_core::library(), int, ibv_get_async_event, (ibv_context* context, ibv_async_event* event), (context, event), minusOne())
FORWARD(rdma_core::library(), void, ibv_ack_async_event, (ibv_async_event* event), (event), (void)0)
FORWARD(rdma_core::library(), const char*, ibv_event_type_str, (ibv_event_type type), (type), "")

FORWARD(rdma_core::library(), int, ibv_query_device, (ibv_context* context, ibv_device_attr* attributes), (context, attributes), ENOSYS)
FORWARD(rdma_core::library(), int, ibv_query_port, (ibv_context* context, uint8_t port, _compat_ibv_port_attr* attributes),
        (context, port, attributes), ENOSYS)
FORWARD(rdma_core::library(), ssize_t, _ibv_query_gid_table,
        (ibv_context* context, ibv_gid_entry* entries, size_t count, uint32_t flags, size_t size),
        (context, entries, count, flags, size), -ENOSYS)
FORWARD(rdma_core::library(), int, ibv_query_pkey, (ibv_context* context, uint8_t port, int index, __be16* pkey),
        (context, port, index, pkey), minusOne())

FORWARD(rdma_core::library(), ibv_qp_ex*, ibv_qp_to_qp_ex, (ibv_qp* pair), (pair), null<ibv_qp_ex>())
FORWARD(rdma_core::library(), ibv_pd*, ibv_alloc_pd, (ibv_context* context), (context), null<ibv_pd>())
FORWARD(rdma_core::library(), int, ibv_dealloc_pd, (ibv_pd* domain), (domain), ENOSYS)

FORWARD(rdma_core::library(), ibv_mr*, ibv_reg_mr, (ibv_pd* domain, void* address, size_t length, int access),
        (domain, address, length, access), null<ibv_mr>())
FORWARD(rdma_core::library(), ibv_mr*, ibv_reg_mr_iova2,
        (ibv_pd* domain, void* address, size_t length, uint64_t iova, unsigned int access),
        (domain, address, length, iova, access), null<ibv_mr>())
FORWARD(rdma_core::library(), int, ibv_dereg_mr, (ibv_mr* region), (region), ENOSYS)

FORWARD(rdma_core::library(), ibv_comp_channel*, ibv_create_comp_channel, (ibv_context* context), (context), null<ibv_comp_channel>())
FORWARD(rdma_core::library(), int, ibv_destroy_comp_channel, (ibv_comp_channel* channel), (channel), ENOSYS)
FORWARD(rdma_core::library(), ibv_cq*, ibv_create_cq,
        (ibv_context* context, int entries, void* cookie, ibv_comp_channel* channel, int vector),
        (context, entries, cookie, channel, vector), null<ibv_cq>())
FORWARD(rdma_core::library(), int, ibv_destroy_cq, (ibv_cq* queue), (queue), ENOSYS)
FORWARD(rdma_core::library(), int, ibv_get_cq_event, (ibv_comp_channel* channel, ibv_cq** queue, void** cookie),
        (channel, queue, cookie), minusOne())
FORWARD(rdma_core::library(), void, ibv_ack_cq_events, (ibv_cq* queue, unsigned int count), (queue, count), (void)0)

FORWARD(rdma_core::library(), ibv_qp*, ibv_create_qp, (ibv_pd* domain, ibv_qp_init_attr* attributes), (domain, attributes),
        null<ibv_qp>())
FORWARD(rdma_core::library(), int, ibv_modify_qp, (ibv_qp* pair, ibv_qp_attr* attributes, int mask), (pair, attributes, mask), ENOSYS)
FORWARD(rdma_core::library(), int, ibv_query_qp, (ibv_qp* pair, ibv_qp_attr* attributes, int mask, ibv_qp_init_attr* initial),
        (pair, attributes, mask, initial), ENOSYS)
FORWARD(rdma_core::library(), int, ibv_destroy_qp, (ibv_qp* pair), (pair), ENOSYS)

FORWARD(rdma_core::library(), int, ibv_attach_mcast, (ibv_qp* pair, const ibv_gid* gid, uint16_t lid), (pair, gid, lid), ENOSYS)
FORWARD(rdma_core::library(), int, ibv_detach_mcast, (ibv_qp* pair, const ibv_gid* gid, uint16_t lid), (pair, gid, lid), ENOSYS)

FORWARD(rdma_core::library(), ibv_ah*, ibv_create_ah, (ibv_pd* domain, ibv_ah_attr* attributes), (domain, attributes), null<ibv_ah>())
FORWARD(rdma_core::library(), int, ibv_init_ah_from_wc,
        (ibv_context* context, uint8_t port, ibv_wc* completion, ibv_grh* route, ibv_ah_attr* attributes),
        (context, port, completion, route, attributes), minusOne())
FORWARD(rdma_core::library(), int, ibv_destroy_ah, (ibv_ah* handle), (handle), ENOSYS)

}  // extern "C"
