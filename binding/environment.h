// The binding's state for one JavaScript environment: the main thread or a worker. Environments share nothing.
#pragma once

#include <napi.h>

#include <initializer_list>

#include "error.h"
#include "handle_table.h"

class Environment {
 public:
  static void create(Napi::Env env);
  static Environment& of(Napi::Env env) {
    void* data = nullptr;
    napi_get_instance_data(env, &data);
    return *static_cast<Environment*>(data);
  }

  Napi::Env env() const { return env_; }

  HandleTable handles;
  Napi::FunctionReference errorConstructor;
  // The callbacks for verbs events: (completion queue) and (context, ibv_event_type, handle or port number). They get
  // handles, not closures, so that nothing here keeps a JavaScript object alive.
  Napi::FunctionReference onCompletion;
  Napi::FunctionReference onEvent;

  // Puts a new handle into the table; its id is what JavaScript gets.
  Napi::Value open(std::unique_ptr<Handle> handle);

  // The handle behind argument `index`, or throws ERR_IBVERBS_CLOSED naming `what`.
  template <typename T>
  T& handle(const Napi::CallbackInfo& info, size_t index, const char* what) {
    return handle<T>(info[index], what);
  }
  template <typename T>
  T& handle(Napi::Value value, const char* what) {
    if (!value.IsNumber()) throwArgumentType(env_, what, "a handle");
    return handle<T>(value.As<Napi::Number>().Uint32Value(), what);
  }
  template <typename T>
  T& handle(uint32_t id, const char* what) {
    Handle* found = handles.find(id, T::kKind);
    if (!found) throwClosed(env_, what);
    return *static_cast<T*>(found);
  }

  // Calls back into JavaScript from libuv's loop, microtasks included. An exception there becomes an
  // 'uncaughtException', as one thrown by any callback of Node's own.
  void call(const Napi::FunctionReference& callback, std::initializer_list<double> numbers = {});

  void watcherOpened() { watchers_++; }
  void watcherClosed() {
    watchers_--;
    leaveWhenDone();
  }
  uint32_t watchers() const { return watchers_; }

 private:
  explicit Environment(Napi::Env env) : env_(env) {}

  // A worker that is terminated with an active uv_poll aborts the process unless the addon closes it, and libuv
  // closes asynchronously: so the environment leaves in two steps, and Node waits for the second.
  void leave();
  void leaveWhenDone();

  Napi::Env env_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uint32_t watchers_ = 0;
  bool leaving_ = false;
};
