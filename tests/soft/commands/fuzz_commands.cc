// Commands that no library would write, to an open device file. Whatever they say, the answer is 0 or an errno: no
// crash, no write outside the memory that they name (AddressSanitizer looks), and nothing is left when the file is
// closed.
//
// An input is a row of commands. Each begins with a byte that chooses the command and one that chooses how it is
// spoilt; then come its words, a byte each that says what the word is: a small number (handles, sizes, counts), four
// bytes as they come, or half of an address in the arena below.
#include <rdma/ib_user_verbs.h>
#include <rdma/mlx5-abi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "device/world.h"

namespace {

struct Shape {
  uint32_t number;
  bool extended;
  size_t core, driver;
};

const Shape kShapes[] = {
    {IB_USER_VERBS_CMD_GET_CONTEXT, false, sizeof(ib_uverbs_get_context), sizeof(mlx5_ib_alloc_ucontext_req_v2)},
    {IB_USER_VERBS_CMD_QUERY_DEVICE, false, sizeof(ib_uverbs_query_device), 0},
    {IB_USER_VERBS_EX_CMD_QUERY_DEVICE, true, sizeof(ib_uverbs_ex_query_device), 0},
    {IB_USER_VERBS_CMD_QUERY_PORT, false, sizeof(ib_uverbs_query_port), 0},
    {IB_USER_VERBS_CMD_ALLOC_PD, false, sizeof(ib_uverbs_alloc_pd), 0},
    {IB_USER_VERBS_CMD_DEALLOC_PD, false, sizeof(ib_uverbs_dealloc_pd), 0},
    {IB_USER_VERBS_CMD_REG_MR, false, sizeof(ib_uverbs_reg_mr), 0},
    {IB_USER_VERBS_CMD_REREG_MR, false, sizeof(ib_uverbs_rereg_mr), 0},
    {IB_USER_VERBS_CMD_DEREG_MR, false, sizeof(ib_uverbs_dereg_mr), 0},
    {IB_USER_VERBS_CMD_ALLOC_MW, false, sizeof(ib_uverbs_alloc_mw), 0},
    {IB_USER_VERBS_CMD_DEALLOC_MW, false, sizeof(ib_uverbs_dealloc_mw), 0},
    {IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL, false, sizeof(ib_uverbs_create_comp_channel), 0},
    {IB_USER_VERBS_CMD_CREATE_CQ, false, sizeof(ib_uverbs_create_cq), sizeof(mlx5_ib_create_cq)},
    {IB_USER_VERBS_EX_CMD_CREATE_CQ, true, sizeof(ib_uverbs_ex_create_cq), sizeof(mlx5_ib_create_cq)},
    {IB_USER_VERBS_CMD_RESIZE_CQ, false, sizeof(ib_uverbs_resize_cq), sizeof(mlx5_ib_resize_cq)},
    {IB_USER_VERBS_CMD_DESTROY_CQ, false, sizeof(ib_uverbs_destroy_cq), 0},
    {IB_USER_VERBS_CMD_CREATE_QP, false, sizeof(ib_uverbs_create_qp), sizeof(mlx5_ib_create_qp)},
    {IB_USER_VERBS_EX_CMD_CREATE_QP, true, sizeof(ib_uverbs_ex_create_qp), sizeof(mlx5_ib_create_qp)},
    {IB_USER_VERBS_EX_CMD_CREATE_QP, true, sizeof(ib_uverbs_ex_create_qp), sizeof(mlx5_ib_create_qp_rss)},
    {IB_USER_VERBS_CMD_QUERY_QP, false, sizeof(ib_uverbs_query_qp), 0},
    {IB_USER_VERBS_CMD_MODIFY_QP, false, sizeof(ib_uverbs_modify_qp), 0},
    {IB_USER_VERBS_EX_CMD_MODIFY_QP, true, sizeof(ib_uverbs_ex_modify_qp), 0},
    {IB_USER_VERBS_CMD_DESTROY_QP, false, sizeof(ib_uverbs_destroy_qp), 0},
    {IB_USER_VERBS_CMD_ATTACH_MCAST, false, sizeof(ib_uverbs_attach_mcast), 0},
    {IB_USER_VERBS_CMD_DETACH_MCAST, false, sizeof(ib_uverbs_detach_mcast), 0},
    {IB_USER_VERBS_CMD_CREATE_SRQ, false, sizeof(ib_uverbs_create_srq), sizeof(mlx5_ib_create_srq)},
    {IB_USER_VERBS_CMD_CREATE_XSRQ, false, sizeof(ib_uverbs_create_xsrq), sizeof(mlx5_ib_create_srq)},
    {IB_USER_VERBS_CMD_MODIFY_SRQ, false, sizeof(ib_uverbs_modify_srq), 0},
    {IB_USER_VERBS_CMD_QUERY_SRQ, false, sizeof(ib_uverbs_query_srq), 0},
    {IB_USER_VERBS_CMD_DESTROY_SRQ, false, sizeof(ib_uverbs_destroy_srq), 0},
    {IB_USER_VERBS_CMD_CREATE_AH, false, sizeof(ib_uverbs_create_ah), 0},
    {IB_USER_VERBS_CMD_DESTROY_AH, false, sizeof(ib_uverbs_destroy_ah), 0},
    {IB_USER_VERBS_EX_CMD_CREATE_FLOW, true, sizeof(ib_uverbs_create_flow) + sizeof(ib_uverbs_flow_spec_eth), 0},
    {IB_USER_VERBS_EX_CMD_DESTROY_FLOW, true, sizeof(ib_uverbs_destroy_flow), 0},
    {IB_USER_VERBS_EX_CMD_CREATE_WQ, true, sizeof(ib_uverbs_ex_create_wq), sizeof(mlx5_ib_create_wq)},
    {IB_USER_VERBS_EX_CMD_MODIFY_WQ, true, sizeof(ib_uverbs_ex_modify_wq), sizeof(mlx5_ib_modify_wq)},
    {IB_USER_VERBS_EX_CMD_DESTROY_WQ, true, sizeof(ib_uverbs_ex_destroy_wq), 0},
    {IB_USER_VERBS_EX_CMD_CREATE_RWQ_IND_TBL, true, sizeof(ib_uverbs_ex_create_rwq_ind_table) + 8, 0},
    {IB_USER_VERBS_EX_CMD_DESTROY_RWQ_IND_TBL, true, sizeof(ib_uverbs_ex_destroy_rwq_ind_table), 0},
    {IB_USER_VERBS_CMD_OPEN_XRCD, false, sizeof(ib_uverbs_open_xrcd), 0},
};

struct Input {
  const uint8_t* at;
  const uint8_t* end;

  bool empty() const { return at == end; }
  uint8_t byte() { return empty() ? 0 : *at++; }
  uint32_t word() {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) value = value << 8 | byte();
    return value;
  }
};

// Rings, regions and doorbell records lie here, between unmapped pages: a command that names an address beyond them
// must be refused. The NIC may write nowhere else.
constexpr size_t kArena = 1 << 16;
uint8_t* const arena = [] {
  auto* memory = static_cast<uint8_t*>(mmap(nullptr, kArena + 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(memory + 4096, kArena, PROT_READ | PROT_WRITE);
  return memory + 4096;
}();
alignas(8) uint8_t responses[4096];

uint64_t address(Input& input) {
  switch (input.byte() % 4) {
    case 0: return input.word();
    case 1: return reinterpret_cast<uint64_t>(arena + kArena - 64);
    default: return reinterpret_cast<uint64_t>(arena + (input.byte() & 0x0f) * 4096u);
  }
}

std::vector<uint8_t> words(Input& input, size_t size) {
  std::vector<uint8_t> bytes((size + 3) & ~size_t{3});
  for (size_t i = 0; i < bytes.size(); i += 4) {
    const uint8_t kind = input.byte();
    uint32_t value = kind & 0x0f;
    if (kind >= 0xe0) {
      value = input.word();
    } else if (kind >= 0x80 && i % 8 == 0 && i + 8 <= bytes.size()) {
      const uint64_t pointer = address(input);
      memcpy(bytes.data() + i, &pointer, 8);
      i += 4;
      continue;
    } else if (kind >= 0x60) {
      value = 1u << (kind & 0x0f);
    }
    memcpy(bytes.data() + i, &value, 4);
  }
  return bytes;
}

void append(std::vector<uint8_t>* to, const void* from, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(from);
  to->insert(to->end(), bytes, bytes + size);
}

std::vector<uint8_t> command(Input& input) {
  const uint8_t choice = input.byte(), spoilt = input.byte();
  const Shape& shape = kShapes[choice % (sizeof kShapes / sizeof *kShapes)];
  size_t core = shape.core, driver = shape.driver;
  if (spoilt >= 0xf0) core += 4u * (spoilt & 7) - 12;  // too short or too long
  if (core > 512) core = 0;
  std::vector<uint8_t> body = words(input, core);
  std::vector<uint8_t> driverBody = words(input, driver);
  const uint64_t response = spoilt == 0xe0 ? 8 : reinterpret_cast<uint64_t>(responses);
  ib_uverbs_cmd_hdr header{};
  std::vector<uint8_t> all;
  if (shape.extended) {
    body.resize((body.size() + 7) & ~size_t{7});
    driverBody.resize((driverBody.size() + 7) & ~size_t{7});
    header.command = shape.number | IB_USER_VERBS_CMD_FLAG_EXTENDED;
    header.in_words = static_cast<uint16_t>(body.size() / 8);
    header.out_words = spoilt == 0xe1 ? 1 : 64;
    ib_uverbs_ex_cmd_hdr more{};
    more.response = response;
    more.provider_in_words = static_cast<uint16_t>(driverBody.size() / 8);
    more.provider_out_words = 64;
    append(&all, &header, sizeof header);
    append(&all, &more, sizeof more);
  } else {
    header.command = shape.number;
    header.in_words = static_cast<uint16_t>((sizeof header + body.size() + driverBody.size()) / 4);
    header.out_words = spoilt == 0xe1 ? 1 : 256;
    // The first member of most commands is the response's address; in the other commands it may well be nonsense.
    if (body.size() >= 8 && spoilt < 0xd0) memcpy(body.data(), &response, sizeof response);
    append(&all, &header, sizeof header);
  }
  append(&all, body.data(), body.size());
  append(&all, driverBody.data(), driverBody.size());
  if (spoilt == 0xe2) all.resize(all.size() / 2);
  if (spoilt == 0xe3 && !all.empty()) all[input.byte() % std::min<size_t>(all.size(), 24)] ^= input.byte();
  return all;
}

soft::World& world() {
  static auto* instance = [] {
    auto* made = new soft::World;
    std::string words;
    if (made->open("loop", &words)) {
      fprintf(stderr, "%s\n", words.c_str());
      abort();
    }
    atexit([] { world().endWithProcess(); });
    return made;
  }();
  return *instance;
}

// The commands with which every program begins, so that the fuzzer reaches the rest.
void getContext(soft::uverbs::VerbsFile& file) {
  struct {
    ib_uverbs_cmd_hdr header;
    uint64_t response;
    mlx5_ib_alloc_ucontext_req_v2 driver;
  } request{};
  request.header = {IB_USER_VERBS_CMD_GET_CONTEXT, sizeof request / 4, 256};
  request.response = reinterpret_cast<uint64_t>(responses);
  request.driver.total_num_bfregs = 16;
  request.driver.num_low_latency_bfregs = 4;
  request.driver.max_cqe_version = 1;
  file.write(reinterpret_cast<uint64_t>(&request), sizeof request);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input{data, data + size};
  const int descriptor = world().openFile(world().devices().front());
  std::vector<int> channels;
  {
    const auto file = world().file(descriptor);
    if (input.byte() < 0xf0) getContext(*file);
    for (int i = 0; i < 64 && !input.empty(); i++) {
      // A copy of exactly its size: AddressSanitizer sees a read beyond its end.
      const std::vector<uint8_t> bytes = command(input);
      const int error = file->write(reinterpret_cast<uint64_t>(bytes.data()), bytes.size());
      if (!error && bytes.size() >= 4 && bytes[0] == IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL && !bytes[3]) {
        int channel;
        memcpy(&channel, responses, sizeof channel);
        channels.push_back(channel);
      }
      if (error < 0 || error > 4095) abort();  // an errno, and nothing else
    }
    if (file->release() != 0) abort();  // otherwise a part of it would remain for ever
    if (file->asynchronousFile) channels.push_back(file->asynchronousFile->descriptor());
  }
  for (const int channel : channels) {
    world().closing(channel);
    close(channel);
  }
  world().closing(descriptor);
  close(descriptor);
  return 0;
}
