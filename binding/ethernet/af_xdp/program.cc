#include "ethernet/af_xdp/program.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <initializer_list>
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

// Places in the map: more than any device has receive queues.
constexpr uint32_t kQueues = 4096;

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

// The link that holds a program on an interface; 0 when there is none, or without CAP_SYS_ADMIN.
uint32_t linkOfProgram(uint32_t program, uint32_t interfaceIndex) {
  bpf_attr attributes{};
  while (bpf(BPF_LINK_GET_NEXT_ID, &attributes) == 0) {
    const uint32_t id = attributes.next_id;
    bpf_attr request{};
    request.link_id = id;
    const Descriptor link{bpf(BPF_LINK_GET_FD_BY_ID, &request)};
    attributes = {};
    attributes.start_id = id;
    if (link.fd < 0) continue;
    bpf_link_info information{};
    request = {};
    request.info.bpf_fd = static_cast<uint32_t>(link.fd);
    request.info.info_len = sizeof information;
    request.info.info = reinterpret_cast<uintptr_t>(&information);
    if (bpf(BPF_OBJ_GET_INFO_BY_FD, &request) < 0) continue;
    if (information.type == BPF_LINK_TYPE_XDP && information.prog_id == program &&
        information.xdp.ifindex == interfaceIndex) {
      return id;
    }
  }
  return 0;
}

}  // namespace

int XdpProgram::of(int32_t interfaceIndex, std::shared_ptr<XdpProgram>* program) {
  // Threads may live in different network namespaces, where the same index is another interface.
  struct stat netns{};
  if (stat("/proc/thread-self/ns/net", &netns)) netns.st_ino = 0;
  static std::mutex mutex;
  static std::vector<std::weak_ptr<XdpProgram>> programs;
  const std::lock_guard<std::mutex> lock(mutex);
  programs.erase(std::remove_if(programs.begin(), programs.end(), [](const auto& item) { return item.expired(); }),
                 programs.end());
  for (const auto& item : programs) {
    *program = item.lock();
    if (*program && (*program)->interfaceIndex_ == interfaceIndex && (*program)->netns_ == netns.st_ino) return 0;
  }
  *program = std::make_shared<XdpProgram>(interfaceIndex, netns.st_ino);
  const int error = (*program)->createMap();
  if (error) {
    program->reset();
    return error;
  }
  programs.push_back(*program);
  return 0;
}

int XdpProgram::createMap() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_XSKMAP;
  attributes.key_size = sizeof(uint32_t);
  attributes.value_size = sizeof(uint32_t);
  attributes.max_entries = kQueues;
  memcpy(attributes.map_name, "ibverbs_xsks", 12);
  return keep(bpf(BPF_MAP_CREATE, &attributes), &map_);
}

std::vector<uint32_t> XdpProgram::compose() const {
  const auto append = [](std::vector<uint32_t>* words, std::initializer_list<bpf_insn> code) {
    for (const bpf_insn& instruction : code) {
      uint32_t pair[2];
      memcpy(pair, &instruction, sizeof pair);
      words->insert(words->end(), pair, pair + 2);
    }
  };
  // bpf_redirect_map() passes the frames of a queue that has no socket: a piece that all members share need not compare
  // the queue.
  const auto same = [this](const Member* member) { return member->words == members_.front()->words; };
  if (std::all_of(members_.begin(), members_.end(), same)) return members_.front()->words;
  std::vector<uint32_t> words;
  for (const Member* member : members_) {
    // A piece begins with the context in r1, and may use all the others.
    const auto length = static_cast<int16_t>(member->words.size() / 2);
    append(&words, {{BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(xdp_md, rx_queue_index), 0},
                    {BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_2, 0, length, static_cast<int32_t>(member->queue)}});
    words.insert(words.end(), member->words.begin(), member->words.end());
  }
  append(&words, {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}});
  return words;
}

int XdpProgram::load(const std::vector<uint32_t>& words, bool fragments, int* program) const {
  std::vector<bpf_insn> code(words.size() / 2);
  memcpy(code.data(), words.data(), code.size() * sizeof(bpf_insn));
  for (bpf_insn& instruction : code) {
    if (instruction.code == (BPF_LD | BPF_DW | BPF_IMM) && instruction.src_reg == BPF_PSEUDO_MAP_FD) {
      instruction.imm = map_;
    }
  }
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_XDP;
  attributes.expected_attach_type = BPF_XDP;
  attributes.insns = reinterpret_cast<uintptr_t>(code.data());
  attributes.insn_cnt = static_cast<uint32_t>(code.size());
  attributes.license = reinterpret_cast<uintptr_t>("Dual MIT/GPL");
  attributes.prog_flags = fragments ? BPF_F_XDP_HAS_FRAGS : 0;
  memcpy(attributes.prog_name, "ibverbs", 7);
  return keep(bpf(BPF_PROG_LOAD, &attributes), program);
}

int XdpProgram::update() {
  const std::vector<uint32_t> words = compose();
  if (words == running_) return 0;
  int program = -1;
  const int error = load(words, mode_.fragments, &program);
  if (error) return error;
  const Descriptor loaded{program};
  bpf_attr attributes{};
  attributes.link_update.link_fd = static_cast<uint32_t>(link_);
  attributes.link_update.new_prog_fd = static_cast<uint32_t>(program);
  const int result = bpf(BPF_LINK_UPDATE, &attributes);
  if (result < 0) return -result;
  running_ = words;
  return 0;
}

int XdpProgram::add(const Member* member, int socket, Mode* mode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (member->queue >= kQueues) return E2BIG;
  members_.push_back(member);
  int error = 0;
  if (link_ >= 0) {
    *mode = mode_;
    error = update();
  } else {
    const std::vector<uint32_t> words = compose();
    int program = -1;
    error = load(words, mode->fragments, &program);
    const Descriptor loaded{program};
    if (!error) {
      bpf_attr attributes{};
      attributes.link_create.prog_fd = static_cast<uint32_t>(program);
      attributes.link_create.target_ifindex = static_cast<uint32_t>(interfaceIndex_);
      attributes.link_create.attach_type = BPF_XDP;
      attributes.link_create.flags = mode->flags;
      error = keep(bpf(BPF_LINK_CREATE, &attributes), &link_);
    }
    if (!error) {
      mode_ = *mode;
      running_ = words;
    }
  }
  if (!error) {
    bpf_attr attributes{};
    attributes.map_fd = static_cast<uint32_t>(map_);
    attributes.key = reinterpret_cast<uintptr_t>(&member->queue);
    attributes.value = reinterpret_cast<uintptr_t>(&socket);
    error = -bpf(BPF_MAP_UPDATE_ELEM, &attributes);
  }
  if (error) forget(member);
  return error;
}

int XdpProgram::change(Member* member, std::vector<uint32_t> words) {
  const std::lock_guard<std::mutex> lock(mutex_);
  member->words.swap(words);
  const int error = update();
  if (error) member->words.swap(words);
  return error;
}

void XdpProgram::remove(const Member* member) {
  const std::lock_guard<std::mutex> lock(mutex_);
  forget(member);
}

void XdpProgram::forget(const Member* member) {
  members_.erase(std::remove(members_.begin(), members_.end(), member), members_.end());
  if (link_ < 0) return;
  // The kernel takes the socket out of the map when it is closed. Should the update fail, frames of that queue find
  // none there and pass.
  if (!members_.empty()) {
    update();
    return;
  }
  ::close(link_);
  link_ = -1;
  running_.clear();
}

XdpProgram::~XdpProgram() {
  // The link first: from here on frames go to the kernel's stack again.
  if (link_ >= 0) ::close(link_);
  if (map_ >= 0) ::close(map_);
}

Napi::Value attachedProgram(const Napi::CallbackInfo& info) {
  Attached attached;
  const uint32_t interfaceIndex = argument::uint32(info, 0, "interfaceIndex");
  const int error = query(interfaceIndex, &attached);
  if (error) throwErrno(info.Env(), error, "netlink", "RTM_GETLINK");
  if (attached.id == 0) return info.Env().Null();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", Napi::Number::New(info.Env(), attached.id));
  result.Set("name", Napi::String::New(info.Env(), programName(attached.id)));
  result.Set("mode", Napi::Number::New(info.Env(), attached.mode));
  result.Set("link", Napi::Number::New(info.Env(), linkOfProgram(attached.id, interfaceIndex)));
  return result;
}

}  // namespace ethernet
