// Address handles. All that the kernel does for one is to find the MAC address (mlx5_ib_create_ah_resp): the rest of
// the address travels in each WQE.
#include <rdma/mlx5-abi.h>

#include "nic/gid.h"
#include "uverbs/verbs_file.h"

namespace soft::uverbs {
namespace {

void remove(VerbsFile& file, uint32_t handle) {
  file.addressHandles.find(handle)->domain->addressHandles--;
  file.addressHandles.remove(handle);
}

int createHandle(VerbsFile& file, const Command& command) {
  ib_uverbs_create_ah request;
  if (const int error = command.request(&request)) return error;
  const ib_uverbs_ah_attr& address = request.attr;
  const auto& ports = file.device->identity.ports;
  if (!file.domains.find(request.pd_handle)) return EINVAL;
  if (address.port_num < 1 || address.port_num > ports.size() || !address.is_global) return EINVAL;
  if (address.grh.sgid_index >= ports[address.port_num - 1u].gids.size()) return EINVAL;
  Gid gid;
  std::copy(address.grh.dgid, address.grh.dgid + 16, gid.begin());
  if (!sameFamily(ports[address.port_num - 1u].gids[address.grh.sgid_index].gid, gid)) return EINVAL;
  Mac mac;
  const int unresolved =
      file.whileOthersRun([&] { return resolveMac(ports[address.port_num - 1u], address.grh.sgid_index, gid, &mac); });
  if (unresolved) return unresolved;
  const auto domain = file.domains.find(request.pd_handle);
  if (!domain) return EINVAL;
  Place place = file.addressHandles.reserve();
  if (!place) return ENOMEM;
  mlx5_ib_create_ah_resp driver{};
  std::copy(mac.begin(), mac.end(), driver.dmac);
  ib_uverbs_create_ah_resp response{};
  driver.response_length = command.driverRoom(sizeof response, sizeof driver);
  response.ah_handle = file.addressHandles.add(std::make_shared<AddressHandle>(AddressHandle{domain}), place);
  domain->addressHandles++;
  const int error = command.respond(response, driver);
  if (error) remove(file, response.ah_handle);
  return error;
}

int destroyHandle(VerbsFile& file, const Command& command) {
  ib_uverbs_destroy_ah request;
  if (const int error = command.request(&request)) return error;
  if (!file.addressHandles.find(request.ah_handle)) return ENOENT;
  remove(file, request.ah_handle);
  return 0;
}

}  // namespace

const std::vector<CommandEntry> addressCommands{
    {IB_USER_VERBS_CMD_CREATE_AH, false, createHandle},
    {IB_USER_VERBS_CMD_DESTROY_AH, false, destroyHandle},
};

}  // namespace soft::uverbs
