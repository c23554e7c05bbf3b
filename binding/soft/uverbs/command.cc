#include "uverbs/command.h"

namespace soft::uverbs {
namespace {

// The largest: in_words and provider_in_words are 16 bits each, of words of 8 bytes.
constexpr size_t kLargest = sizeof(ib_uverbs_cmd_hdr) + sizeof(ib_uverbs_ex_cmd_hdr) + 2 * 65535 * 8;

const char* const kNames[] = {
    "GET_CONTEXT",   "QUERY_DEVICE", "QUERY_PORT", "ALLOC_PD",    "DEALLOC_PD", "CREATE_AH",
    "MODIFY_AH",     "QUERY_AH",     "DESTROY_AH", "REG_MR",      "REG_SMR",    "REREG_MR",
    "QUERY_MR",      "DEREG_MR",     "ALLOC_MW",   "BIND_MW",     "DEALLOC_MW", "CREATE_COMP_CHANNEL",
    "CREATE_CQ",     "RESIZE_CQ",    "DESTROY_CQ", "POLL_CQ",     "PEEK_CQ",    "REQ_NOTIFY_CQ",
    "CREATE_QP",     "QUERY_QP",     "MODIFY_QP",  "DESTROY_QP",  "POST_SEND",  "POST_RECV",
    "ATTACH_MCAST",  "DETACH_MCAST", "CREATE_SRQ", "MODIFY_SRQ",  "QUERY_SRQ",  "DESTROY_SRQ",
    "POST_SRQ_RECV", "OPEN_XRCD",    "CLOSE_XRCD", "CREATE_XSRQ", "OPEN_QP"};

const char* const kExtendedNames[] = {"EX_CREATE_FLOW",         "EX_DESTROY_FLOW", "EX_CREATE_WQ",
                                      "EX_MODIFY_WQ",           "EX_DESTROY_WQ",   "EX_CREATE_RWQ_IND_TBL",
                                      "EX_DESTROY_RWQ_IND_TBL", "EX_MODIFY_CQ"};

// The old commands whose request does not begin with the address of a response.
bool hasNoResponse(uint32_t number) {
  switch (number) {
    case IB_USER_VERBS_CMD_DEALLOC_PD:
    case IB_USER_VERBS_CMD_DESTROY_AH:
    case IB_USER_VERBS_CMD_DEREG_MR:
    case IB_USER_VERBS_CMD_DEALLOC_MW:
    case IB_USER_VERBS_CMD_REQ_NOTIFY_CQ:
    case IB_USER_VERBS_CMD_MODIFY_QP:
    case IB_USER_VERBS_CMD_ATTACH_MCAST:
    case IB_USER_VERBS_CMD_DETACH_MCAST:
    case IB_USER_VERBS_CMD_MODIFY_SRQ:
    case IB_USER_VERBS_CMD_CLOSE_XRCD: return true;
    default: return false;
  }
}

}  // namespace

const char* commandName(uint32_t number, bool extended) {
  if (number < sizeof kNames / sizeof *kNames) return kNames[number];
  const uint32_t index = number - IB_USER_VERBS_CMD_THRESHOLD;
  return extended && index < sizeof kExtendedNames / sizeof *kExtendedNames ? kExtendedNames[index] : "unknown";
}

int Command::parse(uint64_t address, size_t length) {
  ib_uverbs_cmd_hdr header;
  if (length < sizeof header || length > kLargest) return EINVAL;
  if (const int error = copyFromUser(&header, address, sizeof header)) return error;
  // Only the command and the one flag: uverbs_main.c, get_uverbs_method.
  if (header.command & ~(IB_USER_VERBS_CMD_FLAG_EXTENDED | IB_USER_VERBS_CMD_COMMAND_MASK)) return EINVAL;
  number_ = header.command & IB_USER_VERBS_CMD_COMMAND_MASK;
  extended_ = header.command & IB_USER_VERBS_CMD_FLAG_EXTENDED;
  uint64_t at = address + sizeof header;
  if (!extended_) {
    if (header.in_words * size_t{4} != length) return EINVAL;
    core_.resize(length - sizeof header);
    if (const int error = copyFromUser(core_.data(), at, core_.size())) return error;
    responseSize_ = header.out_words * size_t{4};
    if (!hasNoResponse(number_)) {
      if (core_.size() < sizeof response_) return responseSize_ ? EINVAL : 0;
      memcpy(&response_, core_.data(), sizeof response_);
    }
    return 0;
  }
  ib_uverbs_ex_cmd_hdr more;
  if (length < sizeof header + sizeof more) return EINVAL;
  if (const int error = copyFromUser(&more, at, sizeof more)) return error;
  at += sizeof more;
  if (more.cmd_hdr_reserved) return EINVAL;
  if ((header.in_words + more.provider_in_words) * size_t{8} != length - sizeof header - sizeof more) return EINVAL;
  if (more.response ? !(header.out_words || more.provider_out_words) : header.out_words || more.provider_out_words) {
    return EINVAL;
  }
  core_.resize(header.in_words * size_t{8});
  driver_.resize(more.provider_in_words * size_t{8});
  if (const int error = copyFromUser(core_.data(), at, core_.size())) return error;
  if (const int error = copyFromUser(driver_.data(), at + core_.size(), driver_.size())) return error;
  response_ = more.response;
  responseSize_ = header.out_words * size_t{8};
  driverResponseSize_ = more.provider_out_words * size_t{8};
  return 0;
}

uint32_t Command::driverRoom(size_t coreSize, size_t driverSize) const {
  const size_t room = extended_ ? driverResponseSize_ : responseSize_ - std::min(responseSize_, coreSize);
  return static_cast<uint32_t>(std::min(room, driverSize));
}

int Command::write(const void* core, size_t coreSize, const void* driver, size_t driverSize) const {
  if (!extended_ && responseSize_ < coreSize) return ENOSPC;
  if (const int error = copyToUser(response_, core, std::min(coreSize, responseSize_))) return error;
  const uint64_t at = response_ + (extended_ ? responseSize_ : coreSize);
  return copyToUser(at, driver, driverRoom(coreSize, driverSize));
}

}  // namespace soft::uverbs
