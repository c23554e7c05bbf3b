#include "verbs/flow.h"

#include <cstring>

#include "argument.h"
#include "mlx5/work_queue.h"
#include "verbs/queue_pair.h"
#include "verbs/verbs.h"

namespace verbs {
namespace {

// IB_FLOW_SPEC_SUPPORT_LAYERS of the kernel's ib_verbs.h: the most specifications that it takes in a rule.
constexpr size_t kMaxSpecs = 10;
constexpr size_t kMaxBytes = kMaxSpecs * sizeof(ibv_flow_spec);

// The size that a specification of this type must have: libibverbs copies by the type and steps by the size. 0 refuses
// it: this package does not use the type, or it holds a pointer.
size_t sizeOf(uint32_t type) {
  switch (type) {
    case IBV_FLOW_SPEC_ETH:
    case IBV_FLOW_SPEC_ETH | IBV_FLOW_SPEC_INNER: return sizeof(ibv_flow_spec_eth);
    case IBV_FLOW_SPEC_IPV4:
    case IBV_FLOW_SPEC_IPV4 | IBV_FLOW_SPEC_INNER: return sizeof(ibv_flow_spec_ipv4);
    case IBV_FLOW_SPEC_IPV4_EXT:
    case IBV_FLOW_SPEC_IPV4_EXT | IBV_FLOW_SPEC_INNER: return sizeof(ibv_flow_spec_ipv4_ext);
    case IBV_FLOW_SPEC_IPV6:
    case IBV_FLOW_SPEC_IPV6 | IBV_FLOW_SPEC_INNER: return sizeof(ibv_flow_spec_ipv6);
    case IBV_FLOW_SPEC_TCP:
    case IBV_FLOW_SPEC_UDP:
    case IBV_FLOW_SPEC_TCP | IBV_FLOW_SPEC_INNER:
    case IBV_FLOW_SPEC_UDP | IBV_FLOW_SPEC_INNER: return sizeof(ibv_flow_spec_tcp_udp);
    case IBV_FLOW_SPEC_VXLAN_TUNNEL: return sizeof(ibv_flow_spec_tunnel);
    case IBV_FLOW_SPEC_ACTION_TAG: return sizeof(ibv_flow_spec_action_tag);
    case IBV_FLOW_SPEC_ACTION_DROP: return sizeof(ibv_flow_spec_action_drop);
    default: return 0;
  }
}

// An ibv_flow_attr with its specifications behind it, as ibv_create_flow(3) takes them.
struct Rule {
  alignas(8) uint8_t bytes[sizeof(ibv_flow_attr) + kMaxBytes] = {};

  ibv_flow_attr* attributes() { return reinterpret_cast<ibv_flow_attr*>(bytes); }
};

// Copies the specifications behind the attributes and counts them.
void copySpecs(Napi::Env env, Napi::Value value, Rule* rule) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throwArgumentType(env, "rules", "an array of Uint8Arrays");
  }
  const auto array = value.As<Napi::Uint8Array>();
  const size_t length = array.ByteLength();
  if (length > kMaxBytes) throwArgumentRange(env, "rules", "at most 10 specifications a rule");
  uint8_t* specs = rule->bytes + sizeof(ibv_flow_attr);
  if (length > 0) memcpy(specs, array.Data(), length);
  size_t count = 0;
  for (size_t at = 0; at < length; count++) {
    uint32_t type;
    uint16_t size = 0;
    if (length - at >= sizeof(ibv_flow_spec_action_drop)) {
      memcpy(&type, specs + at, sizeof type);
      memcpy(&size, specs + at + sizeof type, sizeof size);
    }
    if (count == kMaxSpecs || size == 0 || size != sizeOf(type) || size > length - at) {
      throwArgumentRange(env, "rules", "at most 10 whole specifications a rule");
    }
    at += size;
  }
  ibv_flow_attr* attributes = rule->attributes();
  attributes->size = static_cast<uint16_t>(sizeof(ibv_flow_attr) + length);
  attributes->num_of_specs = static_cast<uint8_t>(count);
}

// createFlow(pair, rules, { type, priority, port, flags }): ibv_create_flow(3) for each of the rules, all or none.
// A rule is its specifications (struct ibv_flow_spec_*), one behind the other. `Pair`: whose frames they are.
template <typename Pair>
Napi::Value createFlow(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Environment& environment = Environment::of(env);
  if (!info[1].IsArray()) throwArgumentType(env, "rules", "an array of Uint8Arrays");
  Napi::Object options = argument::object(env, info[2], "options");
  const auto type = argument::field<uint8_t>(options, "type");
  const auto priority = argument::field<uint16_t>(options, "priority");
  const auto port = argument::field<uint8_t>(options, "port");
  const auto flags = argument::field<uint32_t>(options, "flags");
  const auto list = info[1].As<Napi::Array>();
  std::vector<Rule> rules(list.Length());
  for (size_t i = 0; i < rules.size(); i++) {
    copySpecs(env, list.Get(static_cast<uint32_t>(i)), &rules[i]);
    ibv_flow_attr* attributes = rules[i].attributes();
    attributes->type = static_cast<ibv_flow_attr_type>(type);
    attributes->priority = priority;
    attributes->port = port;
    attributes->flags = flags;
  }
  Pair& pair = environment.handle<Pair>(info, 0, "queue pair");
  auto flow = std::make_unique<Flow>(pair);
  for (Rule& rule : rules) {
    ibv_flow* made = ibv_create_flow(pair.ibv, rule.attributes());
    if (made) {
      flow->rules.push_back(made);
      continue;
    }
    const int error = errno;
    const char* syscall;
    flow->release(&syscall);
    throwErrno(env, error, "ibv_create_flow");
  }
  return environment.open(std::move(flow));
}

}  // namespace

int Flow::release(const char** syscall) {
  *syscall = "ibv_destroy_flow";
  while (!rules.empty()) {
    const int error = ibv_destroy_flow(rules.back());
    if (error) return error;
    rules.pop_back();
  }
  return 0;
}

void initializeFlow(Napi::Env env, Napi::Object exports) {
  exports.Set("createFlow", Napi::Function::New(env, createFlow<QueuePair>, "createFlow"));
  exports.Set("createRssFlow", Napi::Function::New(env, createFlow<mlx5::RssQueuePair>, "createRssFlow"));
}

}  // namespace verbs
