#include "ethernet/xdp_program.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "argument.h"

// Linux 5.18; older headers lack it.
#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

namespace ethernet {
namespace {

// Returns a descriptor or 0, or a negative errno.
int bpf(bpf_cmd command, bpf_attr* attributes) {
  const long result = syscall(SYS_bpf, command, attributes, sizeof *attributes);
  return result < 0 ? -errno : static_cast<int>(result);
}

int keep(int result, int* descriptor) {
  if (result < 0) return -result;
  *descriptor = result;
  return 0;
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

struct Attached {
  uint32_t id = 0;
  uint8_t mode = XDP_ATTACHED_NONE;
};

// RTM_GETLINK, IFLA_XDP (rtnetlink(7)). Returns 0 or a positive errno.
int query(uint32_t interfaceIndex, Attached* attached) {
  const Descriptor netlink{socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
  if (netlink.fd < 0) return errno;
  struct {
    nlmsghdr header;
    ifinfomsg link;
  } request{};
  request.header = {sizeof request, RTM_GETLINK, NLM_F_REQUEST, 1, 0};
  request.link.ifi_family = AF_UNSPEC;
  request.link.ifi_index = static_cast<int>(interfaceIndex);
  if (send(netlink.fd, &request, sizeof request, 0) < 0) return errno;
  alignas(nlmsghdr) uint8_t buffer[32768];
  const ssize_t received = recv(netlink.fd, buffer, sizeof buffer, 0);
  if (received < 0) return errno;
  const auto* header = reinterpret_cast<const nlmsghdr*>(buffer);
  if (!NLMSG_OK(header, static_cast<size_t>(received))) return EBADMSG;
  if (header->nlmsg_type == NLMSG_ERROR) return -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
  auto* attribute = IFLA_RTA(NLMSG_DATA(header));
  int left = static_cast<int>(IFLA_PAYLOAD(header));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if ((attribute->rta_type & NLA_TYPE_MASK) != IFLA_XDP) continue;
    auto* inner = static_cast<rtattr*>(RTA_DATA(attribute));
    int innerLeft = static_cast<int>(RTA_PAYLOAD(attribute));
    for (; RTA_OK(inner, innerLeft); inner = RTA_NEXT(inner, innerLeft)) {
      const uint16_t type = inner->rta_type & NLA_TYPE_MASK;
      if (type == IFLA_XDP_ATTACHED) memcpy(&attached->mode, RTA_DATA(inner), sizeof attached->mode);
      // With programs of several modes there is no IFLA_XDP_PROG_ID: any of them will do to say who it is.
      if (type == IFLA_XDP_PROG_ID || type == IFLA_XDP_DRV_PROG_ID || type == IFLA_XDP_SKB_PROG_ID ||
          type == IFLA_XDP_HW_PROG_ID) {
        memcpy(&attached->id, RTA_DATA(inner), sizeof attached->id);
      }
    }
  }
  return 0;
}

std::string programName(uint32_t id) {
  bpf_attr attributes{};
  attributes.prog_id = id;
  const Descriptor program{bpf(BPF_PROG_GET_FD_BY_ID, &attributes)};
  if (program.fd < 0) return "";
  bpf_prog_info information{};
  attributes = {};
  attributes.info.bpf_fd = static_cast<uint32_t>(program.fd);
  attributes.info.info_len = sizeof information;
  attributes.info.info = reinterpret_cast<uintptr_t>(&information);
  if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) < 0) return "";
  return std::string(information.name, strnlen(information.name, sizeof information.name));
}

}  // namespace

int XdpProgram::createMap(uint32_t queues) {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_XSKMAP;
  attributes.key_size = sizeof(uint32_t);
  attributes.value_size = sizeof(uint32_t);
  attributes.max_entries = queues;
  memcpy(attributes.map_name, "ibverbs_xsks", 12);
  return keep(bpf(BPF_MAP_CREATE, &attributes), &map_);
}

int XdpProgram::load(const uint32_t* words, uint32_t instructions, int* program) const {
  std::vector<bpf_insn> code(instructions);
  memcpy(code.data(), words, instructions * sizeof(bpf_insn));
  for (bpf_insn& instruction : code) {
    if (instruction.code == (BPF_LD | BPF_DW | BPF_IMM) && instruction.src_reg == BPF_PSEUDO_MAP_FD) {
      instruction.imm = map_;
    }
  }
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_XDP;
  attributes.expected_attach_type = BPF_XDP;
  attributes.insns = reinterpret_cast<uintptr_t>(code.data());
  attributes.insn_cnt = instructions;
  attributes.license = reinterpret_cast<uintptr_t>("Dual MIT/GPL");
  attributes.prog_flags = fragments_ ? BPF_F_XDP_HAS_FRAGS : 0;
  memcpy(attributes.prog_name, "ibverbs", 7);
  return keep(bpf(BPF_PROG_LOAD, &attributes), program);
}

int XdpProgram::attach(int32_t interfaceIndex, const uint32_t* words, uint32_t instructions, bool fragments,
                       uint32_t mode) {
  if (link_ >= 0) return EBUSY;
  fragments_ = fragments;
  int program = -1;
  const int error = load(words, instructions, &program);
  if (error) return error;
  const Descriptor loaded{program};
  bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<uint32_t>(program);
  attributes.link_create.target_ifindex = static_cast<uint32_t>(interfaceIndex);
  attributes.link_create.attach_type = BPF_XDP;
  attributes.link_create.flags = mode;
  return keep(bpf(BPF_LINK_CREATE, &attributes), &link_);
}

int XdpProgram::replace(const uint32_t* words, uint32_t instructions) {
  int program = -1;
  const int error = load(words, instructions, &program);
  if (error) return error;
  const Descriptor loaded{program};
  bpf_attr attributes{};
  attributes.link_update.link_fd = static_cast<uint32_t>(link_);
  attributes.link_update.new_prog_fd = static_cast<uint32_t>(program);
  return -bpf(BPF_LINK_UPDATE, &attributes);
}

int XdpProgram::enlist(uint32_t queue, int socket) {
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(map_);
  attributes.key = reinterpret_cast<uintptr_t>(&queue);
  attributes.value = reinterpret_cast<uintptr_t>(&socket);
  return -bpf(BPF_MAP_UPDATE_ELEM, &attributes);
}

void XdpProgram::close() {
  // The link first: from here on frames go to the kernel's stack again.
  if (link_ >= 0) ::close(link_);
  if (map_ >= 0) ::close(map_);
  link_ = map_ = -1;
}

Napi::Value attachedProgram(const Napi::CallbackInfo& info) {
  Attached attached;
  const int error = query(argument::uint32(info, 0, "interfaceIndex"), &attached);
  if (error) throwErrno(info.Env(), error, "netlink", "RTM_GETLINK");
  if (attached.id == 0) return info.Env().Null();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", Napi::Number::New(info.Env(), attached.id));
  result.Set("name", Napi::String::New(info.Env(), programName(attached.id)));
  result.Set("mode", Napi::Number::New(info.Env(), attached.mode));
  return result;
}

}  // namespace ethernet
