// Two functions of libibverbs that this library interposes where it is preloaded. No file of the kernel's can supply
// their answers: libmlx5 reads the one from a register of the card, and libibverbs takes the other from the machine's
// routes and neighbours, of which a software wire has none.
#include <infiniband/verbs.h>

#include <algorithm>
#include <cerrno>

#include "driver/driver.h"
#include "hooks/libibverbs.h"
#include "hooks/registry.h"
#include "nic/gid.h"

namespace soft {
namespace {

constexpr uint16_t kNoVlan = 0xffff;  // what libibverbs says where there is none (neigh.c, neigh_get_vlan_id_from_dev)

// mlx5_query_rt_values, with the clock that the CQEs' timestamps are of.
int queryClock(ibv_context*, ibv_values_ex* values) {
  if (values->comp_mask & ~static_cast<uint32_t>(IBV_VALUES_MASK_RAW_CLOCK)) return EINVAL;
  if (values->comp_mask & IBV_VALUES_MASK_RAW_CLOCK) {
    values->raw_clock.tv_sec = 0;
    values->raw_clock.tv_nsec = static_cast<long>(monotonicNow());
  }
  return 0;
}

// As a negative errno, which is how libibverbs has it.
int resolve(const Device& device, const ibv_ah_attr& address, Mac* mac) {
  const auto& ports = device.identity.ports;
  if (address.port_num < 1 || address.port_num > ports.size()) return -EINVAL;
  const auto& gids = ports[address.port_num - 1u].gids;
  Gid gid;
  std::copy_n(address.grh.dgid.raw, gid.size(), gid.begin());
  if (address.grh.sgid_index >= gids.size() || !sameFamily(gids[address.grh.sgid_index].gid, gid)) return -EINVAL;
  return -resolveMac(ports[address.port_num - 1u], address.grh.sgid_index, gid, mac);
}

}  // namespace
}  // namespace soft

extern "C" {

__attribute__((visibility("default"))) ibv_context* ibv_open_device(ibv_device* device) {
  static const auto real = soft::libibverbs<ibv_context* (*)(ibv_device*)>("ibv_open_device");
  ibv_context* context = real(device);
  if (!context || !soft::Registry::instance().file(context->cmd_fd)) return context;
  if (verbs_context* extended = verbs_get_ctx(context)) extended->query_rt_values = soft::queryClock;
  return context;
}

__attribute__((visibility("default"))) int ibv_resolve_eth_l2_from_gid(ibv_context* context, ibv_ah_attr* address,
                                                                       uint8_t mac[6], uint16_t* vlan) {
  const auto file = soft::Registry::instance().file(context->cmd_fd);
  if (!file) {
    using Resolve = int (*)(ibv_context*, ibv_ah_attr*, uint8_t*, uint16_t*);
    static const auto real = soft::libibverbs<Resolve>("ibv_resolve_eth_l2_from_gid");
    return real(context, address, mac, vlan);
  }
  soft::Mac found;
  if (const int error = soft::resolve(*file->device, *address, &found)) return error;
  std::copy(found.begin(), found.end(), mac);
  if (vlan) *vlan = soft::kNoVlan;
  return 0;
}
}
