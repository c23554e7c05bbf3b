#include "verbs/rdma_core.h"

#include <dlfcn.h>

#include <cerrno>

// Macros that wrap the functions defined below (verbs.h).
#undef ibv_get_device_list
#undef ibv_query_port
#undef ibv_reg_mr
#undef ibv_reg_mr_iova

namespace rdma_core {
namespace {

struct Library {
  void* handle = nullptr;
  std::string error;

  Library() {
    handle = dlopen("libibverbs.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      const char* words = dlerror();
      error = words ? words : "libibverbs.so.1";
      return;
    }
    // ibv_fork_init(3) must precede the first registration. On kernels that copy pinned pages at fork (5.12) it finds
    // that it is not needed, and costs nothing.
    using ForkInit = int (*)();
    if (auto forkInit = reinterpret_cast<ForkInit>(dlsym(handle, "ibv_fork_init"))) forkInit();
  }
};

const Library& library() {
  static const Library instance;  // C++11: initialised once, whichever thread comes first
  return instance;
}

void* symbol(const char* name) { return library().handle ? dlsym(library().handle, name) : nullptr; }

template <typename T>
T* null() {
  errno = ENOSYS;
  return nullptr;
}

int minusOne() {
  errno = ENOSYS;
  return -1;
}

}  // namespace

const std::string& unavailable() { return library().error; }

std::string libraryPath() {
  Dl_info info;
  void* address = symbol("ibv_get_device_list");
  return address && dladdr(address, &info) ? info.dli_fname : "";
}

}  // namespace rdma_core

// dlsym returns the default version of a symbol (IBVERBS_1.1 and later); a lazy relocation would bind to the old ABI.
#define FORWARD(type, name, parameters, arguments, missing)                                  \
  type name parameters {                                                                     \
    static const auto real = reinterpret_cast<type(*) parameters>(rdma_core::symbol(#name)); \
    return real ? real arguments : missing;                                                  \
  }

using rdma_core::minusOne;
using rdma_core::null;

extern "C" {

FORWARD(ibv_device**, ibv_get_device_list, (int* count), (count), null<ibv_device*>())
FORWARD(void, ibv_free_device_list, (ibv_device** list), (list), (void)0)
FORWARD(const char*, ibv_get_device_name, (ibv_device* device), (device), "")
FORWARD(int, ibv_get_device_index, (ibv_device* device), (device), -1)
FORWARD(__be64, ibv_get_device_guid, (ibv_device* device), (device), 0)
FORWARD(ibv_context*, ibv_open_device, (ibv_device* device), (device), null<ibv_context>())
FORWARD(int, ibv_close_device, (ibv_context* context), (context), ENOSYS)

FORWARD(int, ibv_get_async_event, (ibv_context* context, ibv_async_event* event), (context, event), minusOne())
FORWARD(void, ibv_ack_async_event, (ibv_async_event* event), (event), (void)0)
FORWARD(const char*, ibv_event_type_str, (ibv_event_type type), (type), "")

FORWARD(int, ibv_query_device, (ibv_context* context, ibv_device_attr* attributes), (context, attributes), ENOSYS)
FORWARD(int, ibv_query_port, (ibv_context* context, uint8_t port, _compat_ibv_port_attr* attributes),
        (context, port, attributes), ENOSYS)
FORWARD(ssize_t, _ibv_query_gid_table,
        (ibv_context* context, ibv_gid_entry* entries, size_t count, uint32_t flags, size_t size),
        (context, entries, count, flags, size), -ENOSYS)
FORWARD(int, ibv_query_pkey, (ibv_context* context, uint8_t port, int index, __be16* pkey),
        (context, port, index, pkey), minusOne())

FORWARD(ibv_pd*, ibv_alloc_pd, (ibv_context* context), (context), null<ibv_pd>())
FORWARD(int, ibv_dealloc_pd, (ibv_pd* domain), (domain), ENOSYS)

FORWARD(ibv_mr*, ibv_reg_mr, (ibv_pd* domain, void* address, size_t length, int access),
        (domain, address, length, access), null<ibv_mr>())
FORWARD(ibv_mr*, ibv_reg_mr_iova2,
        (ibv_pd* domain, void* address, size_t length, uint64_t iova, unsigned int access),
        (domain, address, length, iova, access), null<ibv_mr>())
FORWARD(int, ibv_dereg_mr, (ibv_mr* region), (region), ENOSYS)

FORWARD(ibv_comp_channel*, ibv_create_comp_channel, (ibv_context* context), (context), null<ibv_comp_channel>())
FORWARD(int, ibv_destroy_comp_channel, (ibv_comp_channel* channel), (channel), ENOSYS)
FORWARD(ibv_cq*, ibv_create_cq,
        (ibv_context* context, int entries, void* cookie, ibv_comp_channel* channel, int vector),
        (context, entries, cookie, channel, vector), null<ibv_cq>())
FORWARD(int, ibv_destroy_cq, (ibv_cq* queue), (queue), ENOSYS)
FORWARD(int, ibv_get_cq_event, (ibv_comp_channel* channel, ibv_cq** queue, void** cookie),
        (channel, queue, cookie), minusOne())
FORWARD(void, ibv_ack_cq_events, (ibv_cq* queue, unsigned int count), (queue, count), (void)0)

FORWARD(ibv_qp*, ibv_create_qp, (ibv_pd* domain, ibv_qp_init_attr* attributes), (domain, attributes),
        null<ibv_qp>())
FORWARD(int, ibv_modify_qp, (ibv_qp* pair, ibv_qp_attr* attributes, int mask), (pair, attributes, mask), ENOSYS)
FORWARD(int, ibv_query_qp, (ibv_qp* pair, ibv_qp_attr* attributes, int mask, ibv_qp_init_attr* initial),
        (pair, attributes, mask, initial), ENOSYS)
FORWARD(int, ibv_destroy_qp, (ibv_qp* pair), (pair), ENOSYS)

FORWARD(int, ibv_attach_mcast, (ibv_qp* pair, const ibv_gid* gid, uint16_t lid), (pair, gid, lid), ENOSYS)
FORWARD(int, ibv_detach_mcast, (ibv_qp* pair, const ibv_gid* gid, uint16_t lid), (pair, gid, lid), ENOSYS)

FORWARD(ibv_ah*, ibv_create_ah, (ibv_pd* domain, ibv_ah_attr* attributes), (domain, attributes), null<ibv_ah>())
FORWARD(int, ibv_init_ah_from_wc,
        (ibv_context* context, uint8_t port, ibv_wc* completion, ibv_grh* route, ibv_ah_attr* attributes),
        (context, port, completion, route, attributes), minusOne())
FORWARD(int, ibv_destroy_ah, (ibv_ah* handle), (handle), ENOSYS)

}  // extern "C"
