// Protection domains, memory regions and memory windows.
#include <infiniband/verbs.h>
#include <rdma/mlx5-abi.h>
#include <unistd.h>

#include "uverbs/verbs_file.h"

namespace soft::uverbs {
namespace {

int allocateDomain(VerbsFile& file, const Command& command) {
  ib_uverbs_alloc_pd request;
  if (const int error = command.request(&request)) return error;
  auto domain = std::make_shared<ProtectionDomain>();
  Place place = file.domains.reserve();
  if (!place) return ENOMEM;
  if (const int error = file.nic().allocateProtectionDomain(&domain->pdn)) return error;
  ib_uverbs_alloc_pd_resp response{};
  mlx5_ib_alloc_pd_resp driver{domain->pdn};
  response.pd_handle = file.domains.add(domain, place);
  const int error = command.respond(response, driver);
  if (error) {
    file.nic().freeProtectionDomain(domain->pdn);
    file.domains.remove(response.pd_handle);
  }
  return error;
}

int freeDomain(VerbsFile& file, const Command& command) {
  ib_uverbs_dealloc_pd request;
  if (const int error = command.request(&request)) return error;
  const auto domain = file.domains.find(request.pd_handle);
  if (!domain) return ENOENT;
  if (domain->addressHandles) return EBUSY;
  if (const int error = file.nic().freeProtectionDomain(domain->pdn)) return error;
  file.domains.remove(request.pd_handle);
  return 0;
}

// ib_check_mr_access of include/rdma/ib_verbs.h, and that the memory is there (umem.c).
int checkRegion(uint64_t start, uint64_t length, uint64_t iova, uint32_t access) {
  constexpr uint32_t kKnown = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
                              IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND | IBV_ACCESS_ZERO_BASED |
                              IBV_ACCESS_HUGETLB;
  const uint32_t demanded = access & ~static_cast<uint32_t>(IBV_ACCESS_OPTIONAL_RANGE);
  if (demanded & ~kKnown) return EINVAL;
  if ((access & (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)) && !(access & IBV_ACCESS_LOCAL_WRITE))
    return EINVAL;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if ((start & (page - 1)) != (iova & (page - 1)) && !(access & IBV_ACCESS_ZERO_BASED)) return EINVAL;
  // Not one page: umem.c, ib_umem_get. An empty region in the middle of a page has one.
  if (length == 0 && (start & (page - 1)) == 0) return EINVAL;
  return populate(
      start, length,
      access & (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND));
}

int registerRegion(VerbsFile& file, const Command& command) {
  ib_uverbs_reg_mr request;
  if (const int error = command.request(&request)) return error;
  const auto domain = file.domains.find(request.pd_handle);
  if (!domain) return EINVAL;
  if (const int error = checkRegion(request.start, request.length, request.hca_va, request.access_flags)) return error;
  auto region = std::make_shared<MemoryRegion>();
  Place place = file.regions.reserve();
  if (!place) return ENOMEM;
  region->attributes = {domain->pdn, reinterpret_cast<void*>(request.start), request.hca_va, request.length,
                        request.access_flags};
  if (const int error = file.nic().createMemoryRegion(region->attributes, &region->key)) return error;
  ib_uverbs_reg_mr_resp response{};
  response.lkey = response.rkey = region->key;
  response.mr_handle = file.regions.add(region, place);
  const int error = command.respond(response);
  if (error) {
    file.nic().destroyMemoryRegion(region->key);
    file.regions.remove(response.mr_handle);
  }
  return error;
}

// ibv_rereg_mr(3)
int reregisterRegion(VerbsFile& file, const Command& command) {
  ib_uverbs_rereg_mr request;
  if (const int error = command.request(&request)) return error;
  const auto region = file.regions.find(request.mr_handle);
  constexpr uint32_t kKnown = IBV_REREG_MR_CHANGE_TRANSLATION | IBV_REREG_MR_CHANGE_PD | IBV_REREG_MR_CHANGE_ACCESS;
  if (!region || !request.flags || (request.flags & ~kKnown)) return EINVAL;
  MemoryRegionAttributes changed = region->attributes;
  if (request.flags & IBV_REREG_MR_CHANGE_PD) {
    const auto domain = file.domains.find(request.pd_handle);
    if (!domain) return EINVAL;
    changed.pd = domain->pdn;
  }
  if (request.flags & IBV_REREG_MR_CHANGE_ACCESS) changed.access = request.access_flags;
  if (request.flags & IBV_REREG_MR_CHANGE_TRANSLATION) {
    changed.base = reinterpret_cast<void*>(request.start);
    changed.iova = request.hca_va;
    changed.length = request.length;
  }
  if (const int error =
          checkRegion(reinterpret_cast<uint64_t>(changed.base), changed.length, changed.iova, changed.access)) {
    return error;
  }
  if (const int error = file.nic().changeMemoryRegion(region->key, changed, &region->key)) return error;
  region->attributes = changed;
  ib_uverbs_rereg_mr_resp response{};
  response.lkey = response.rkey = region->key;
  return command.respond(response);
}

int deregisterRegion(VerbsFile& file, const Command& command) {
  ib_uverbs_dereg_mr request;
  if (const int error = command.request(&request)) return error;
  const auto region = file.regions.find(request.mr_handle);
  if (!region) return ENOENT;
  if (const int error = file.nic().destroyMemoryRegion(region->key)) return error;
  file.regions.remove(request.mr_handle);
  return 0;
}

int allocateWindow(VerbsFile& file, const Command& command) {
  ib_uverbs_alloc_mw request;
  if (const int error = command.request(&request)) return error;
  const auto domain = file.domains.find(request.pd_handle);
  if (!domain || (request.mw_type != IBV_MW_TYPE_1 && request.mw_type != IBV_MW_TYPE_2)) return EINVAL;
  auto window = std::make_shared<MemoryWindow>();
  Place place = file.windows.reserve();
  if (!place) return ENOMEM;
  const auto type = static_cast<WindowType>(request.mw_type);
  if (const int error = file.nic().createMemoryWindow(domain->pdn, type, &window->key)) return error;
  ib_uverbs_alloc_mw_resp response{};
  response.rkey = window->key;
  response.mw_handle = file.windows.add(window, place);
  const int error = command.respond(response);
  if (error) {
    file.nic().destroyMemoryWindow(window->key);
    file.windows.remove(response.mw_handle);
  }
  return error;
}

int freeWindow(VerbsFile& file, const Command& command) {
  ib_uverbs_dealloc_mw request;
  if (const int error = command.request(&request)) return error;
  const auto window = file.windows.find(request.mw_handle);
  if (!window) return ENOENT;
  if (const int error = file.nic().destroyMemoryWindow(window->key)) return error;
  file.windows.remove(request.mw_handle);
  return 0;
}

}  // namespace

const std::vector<CommandEntry> memoryCommands{
    {IB_USER_VERBS_CMD_ALLOC_PD, false, allocateDomain},   {IB_USER_VERBS_CMD_DEALLOC_PD, false, freeDomain},
    {IB_USER_VERBS_CMD_REG_MR, false, registerRegion},     {IB_USER_VERBS_CMD_REREG_MR, false, reregisterRegion},
    {IB_USER_VERBS_CMD_DEREG_MR, false, deregisterRegion}, {IB_USER_VERBS_CMD_ALLOC_MW, false, allocateWindow},
    {IB_USER_VERBS_CMD_DEALLOC_MW, false, freeWindow},
};

}  // namespace soft::uverbs
