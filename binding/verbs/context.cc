#include "verbs/context.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>

#include <vector>

#include "argument.h"
#include "mlx5/work_queue.h"
#include "verbs/completion_queue.h"
#include "verbs/device_attributes.h"
#include "verbs/queue_pair.h"
#include "verbs/verbs.h"

namespace verbs {
namespace {

int setNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? errno : 0;
}

}  // namespace

int Context::watch(const char** syscall) {
  ibv_device_attr attributes{};
  // RXE_VENDOR_ID of drivers/infiniband/sw/rxe/rxe_param.h.
  isRxe = ibv_query_device(ibv, &attributes) == 0 && attributes.vendor_id == 0xffffff;
  channel = ibv_create_comp_channel(ibv);
  if (!channel) {
    *syscall = "ibv_create_comp_channel";
    return errno;
  }
  *syscall = "fcntl";
  int error = setNonBlocking(ibv->async_fd);
  if (!error) error = setNonBlocking(channel->fd);
  if (error) return error;
  *syscall = "uv_poll_start";
  completionWatcher_ = Watcher::start(environment, channel->fd, [this] { onCompletionEvents(); }, &error);
  if (!completionWatcher_) return error;
  eventWatcher_ = Watcher::start(environment, ibv->async_fd, [this] { onAsyncEvents(); }, &error);
  return eventWatcher_ ? 0 : error;
}

int Context::release(const char** syscall) {
  if (completionWatcher_) completionWatcher_->stop();
  if (eventWatcher_) eventWatcher_->stop();
  completionWatcher_ = eventWatcher_ = nullptr;
  if (channel) {
    *syscall = "ibv_destroy_comp_channel";
    const int error = ibv_destroy_comp_channel(channel);  // an errno, not −1 (ibv_create_comp_channel(3))
    if (error) return error;
  }
  channel = nullptr;
  *syscall = "ibv_close_device";
  return ibv_close_device(ibv) ? errno : 0;
}

void Context::referenceCompletions(bool on) {
  if (completionWatcher_) completionWatcher_->reference(on);
}

void Context::referenceEvents(bool on) {
  if (eventWatcher_) eventWatcher_->reference(on);
}

void Context::onCompletionEvents() {
  // Read to EAGAIN and acknowledge before calling JavaScript, which may close anything: from then on, handles only.
  std::vector<uint32_t> ready;
  ibv_cq* cq;
  void* cookie;
  while (ibv_get_cq_event(channel, &cq, &cookie) == 0) {
    auto* queue = static_cast<CompletionQueue*>(cookie);
    queue->eventRead();
    ready.push_back(queue->id);
  }
  if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    // The device is gone: a readable descriptor that cannot be read would spin the loop.
    completionWatcher_->stop();
    completionWatcher_ = nullptr;
  }
  Environment& environment = this->environment;
  for (const uint32_t id : ready) environment.call(environment.onCompletion, {static_cast<double>(id)});
}

void Context::onAsyncEvents() {
  struct Event {
    double type, subject;
  };
  std::vector<Event> events;
  ibv_async_event event;
  while (ibv_get_async_event(ibv, &event) == 0) {
    double subject = 0;
    switch (event.event_type) {
      case IBV_EVENT_CQ_ERR: subject = static_cast<CompletionQueue*>(event.element.cq->cq_context)->id; break;
      case IBV_EVENT_QP_FATAL:
      case IBV_EVENT_QP_REQ_ERR:
      case IBV_EVENT_QP_ACCESS_ERR:
      case IBV_EVENT_COMM_EST:
      case IBV_EVENT_SQ_DRAINED:
      case IBV_EVENT_PATH_MIG:
      case IBV_EVENT_PATH_MIG_ERR:
      case IBV_EVENT_QP_LAST_WQE_REACHED:
        // An RSS queue pair has none: what fails of it is a work queue.
        if (auto* pair = static_cast<QueuePair*>(event.element.qp->qp_context)) {
          pair->suspect();
          subject = pair->id;
        }
        break;
      case IBV_EVENT_WQ_FATAL: subject = static_cast<mlx5::WorkQueue*>(event.element.wq->wq_context)->id; break;
      case IBV_EVENT_PORT_ACTIVE:
      case IBV_EVENT_PORT_ERR:
      case IBV_EVENT_LID_CHANGE:
      case IBV_EVENT_PKEY_CHANGE:
      case IBV_EVENT_SM_CHANGE:
      case IBV_EVENT_CLIENT_REREGISTER:
      case IBV_EVENT_GID_CHANGE: subject = event.element.port_num; break;
      default: break;
    }
    events.push_back({static_cast<double>(event.event_type), subject});
    ibv_ack_async_event(&event);
  }
  if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    eventWatcher_->stop();
    eventWatcher_ = nullptr;
    events.push_back({static_cast<double>(IBV_EVENT_DEVICE_FATAL), 0});
  }
  Environment& environment = this->environment;
  const double context = id;
  for (const Event& e : events) environment.call(environment.onEvent, {context, e.type, e.subject});
}

namespace {

// openDevice(name): ibv_open_device(3). 0 when there is no device of that name.
Napi::Value openDevice(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string name = argument::string(env, info[0], "name");
  if (!rdma_core::unavailable().empty()) throwErrno(env, ENOSYS, "dlopen", rdma_core::unavailable());
  int count = 0;
  ibv_device** devices = ibv_get_device_list(&count);
  if (!devices) {
    if (errno == ENOSYS) return Napi::Number::New(env, 0);
    throwErrno(env, errno, "ibv_get_device_list");
  }
  ibv_context* opened = nullptr;
  bool found = false;
  int error = 0;
  for (int i = 0; i < count && !found; i++) {
    if (name != ibv_get_device_name(devices[i])) continue;
    found = true;
    opened = ibv_open_device(devices[i]);
    error = errno;
  }
  ibv_free_device_list(devices);
  if (!found) return Napi::Number::New(env, 0);
  if (!opened) throwErrno(env, error ? error : EIO, "ibv_open_device", name);

  Environment& environment = Environment::of(env);
  auto context = std::make_unique<Context>(environment, opened);
  const char* syscall = "";
  error = context->watch(&syscall);
  if (error) {
    const char* ignored;
    context->release(&ignored);
    throwErrno(env, error, syscall, name);
  }
  return environment.open(std::move(context));
}

Context& contextOf(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).handle<Context>(info, 0, "context");
}

// queryDevice(context): ibv_query_device(3) and, under `extended`, ibv_query_device_ex(3)
Napi::Value queryDevice(const Napi::CallbackInfo& info) {
  Context& context = contextOf(info);
  ibv_device_attr_ex attributes{};
  const int error = ibv_query_device_ex(context.ibv, nullptr, &attributes);
  if (error) throwErrno(info.Env(), error, "ibv_query_device_ex");
  return deviceAttributes(info.Env(), attributes);
}

// queryPort(context, port): ibv_query_port(3)
Napi::Value queryPort(const Napi::CallbackInfo& info) {
  Context& context = contextOf(info);
  const auto port = argument::integer<uint8_t>(info.Env(), info[1], "port");
  PortAttributes attributes;
  const int error = readPort(context.ibv, port, &attributes);
  if (error) throwErrno(info.Env(), error, "ibv_query_port", "port " + std::to_string(port));
  return portAttributes(info.Env(), attributes);
}

// queryPkey(context, port, index): ibv_query_pkey(3), in host order
Napi::Value queryPkey(const Napi::CallbackInfo& info) {
  Context& context = contextOf(info);
  const auto port = argument::integer<uint8_t>(info.Env(), info[1], "port");
  const auto index = argument::integer<uint16_t>(info.Env(), info[2], "index");
  __be16 pkey = 0;
  if (ibv_query_pkey(context.ibv, port, index, &pkey)) {
    throwErrno(info.Env(), errno ? errno : EINVAL, "ibv_query_pkey", "index " + std::to_string(index));
  }
  return Napi::Number::New(info.Env(), ntohs(pkey));
}

// queryGidTable(context): ibv_query_gid_table(3), with the name of the network device behind each entry
Napi::Value queryGidTable(const Napi::CallbackInfo& info) {
  Context& context = contextOf(info);
  Napi::Env env = info.Env();
  ibv_device_attr attributes{};
  int error = ibv_query_device(context.ibv, &attributes);
  if (error) throwErrno(env, error, "ibv_query_device");
  size_t most = 0;
  for (uint8_t port = 1; port <= attributes.phys_port_cnt; port++) {
    ibv_port_attr portAttributes{};
    error = ibv_query_port(context.ibv, port, &portAttributes);
    if (error) throwErrno(env, error, "ibv_query_port");
    most += static_cast<size_t>(portAttributes.gid_tbl_len);
  }
  std::vector<ibv_gid_entry> entries(most);
  const ssize_t count = ibv_query_gid_table(context.ibv, entries.data(), most, 0);
  if (count < 0) throwErrno(env, static_cast<int>(-count), "ibv_query_gid_table");
  Napi::Array table = Napi::Array::New(env, static_cast<size_t>(count));
  for (ssize_t i = 0; i < count; i++) {
    const ibv_gid_entry& entry = entries[static_cast<size_t>(i)];
    char text[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, entry.gid.raw, text, sizeof text);
    char netdev[IF_NAMESIZE];
    Napi::Object object = Napi::Object::New(env);
    object.Set("gid", text);
    object.Set("port", Napi::Number::New(env, entry.port_num));
    object.Set("index", Napi::Number::New(env, entry.gid_index));
    object.Set("type", Napi::Number::New(env, entry.gid_type));
    object.Set("netdevIndex", Napi::Number::New(env, entry.ndev_ifindex));
    object.Set("netdev", entry.ndev_ifindex && if_indextoname(entry.ndev_ifindex, netdev)
                             ? Napi::Value(Napi::String::New(env, netdev))
                             : env.Null());
    table.Set(static_cast<uint32_t>(i), object);
  }
  return table;
}

// referenceCompletions(context, on), referenceEvents(context, on)
void referenceCompletions(const Napi::CallbackInfo& info) {
  contextOf(info).referenceCompletions(argument::boolean(info.Env(), info[1], "on"));
}
void referenceEvents(const Napi::CallbackInfo& info) {
  contextOf(info).referenceEvents(argument::boolean(info.Env(), info[1], "on"));
}

// setDispatch(onCompletion, onEvent)
void setDispatch(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  environment.onCompletion = Napi::Persistent(argument::function(info.Env(), info[0], "onCompletion"));
  environment.onEvent = Napi::Persistent(argument::function(info.Env(), info[1], "onEvent"));
}

}  // namespace

void initializeContext(Napi::Env env, Napi::Object exports) {
  exports.Set("openDevice", Napi::Function::New(env, openDevice, "openDevice"));
  exports.Set("queryDevice", Napi::Function::New(env, queryDevice, "queryDevice"));
  exports.Set("queryPort", Napi::Function::New(env, queryPort, "queryPort"));
  exports.Set("queryPkey", Napi::Function::New(env, queryPkey, "queryPkey"));
  exports.Set("queryGidTable", Napi::Function::New(env, queryGidTable, "queryGidTable"));
  exports.Set("referenceCompletions", Napi::Function::New(env, referenceCompletions, "referenceCompletions"));
  exports.Set("referenceEvents", Napi::Function::New(env, referenceEvents, "referenceEvents"));
  exports.Set("setDispatch", Napi::Function::New(env, setDispatch, "setDispatch"));
}

}  // namespace verbs
