#include "environment.h"

void Environment::create(Napi::Env env) {
  auto* environment = new Environment(env);
  napi_set_instance_data(env, environment, nullptr, nullptr);
  napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<Environment*>(data)->leave(); }, environment,
      &environment->hook_);
}

Napi::Value Environment::open(std::unique_ptr<Handle> handle) {
  const uint32_t id = handles.open(handle);
  if (id == 0) {
    const char* syscall;
    handle->release(&syscall);
    throwErrno(env_, EMFILE, "open", "2^20 handles are open: close some");
  }
  return Napi::Number::New(env_, id);
}

void Environment::call(const Napi::FunctionReference& callback, std::initializer_list<double> numbers) {
  if (leaving_ || callback.IsEmpty()) return;
  Napi::HandleScope scope(env_);
  std::vector<napi_value> arguments;
  for (const double number : numbers) arguments.push_back(Napi::Number::New(env_, number));
  // Plain Node-API: in a worker that is being terminated node-addon-api would make an Error of the failure, which V8
  // does not allow any more, and abort the process.
  const napi_status status =
      napi_make_callback(env_, nullptr, env_.Global(), callback.Value(), arguments.size(), arguments.data(), nullptr);
  bool pending = false;
  if (status == napi_ok || napi_is_exception_pending(env_, &pending) != napi_ok || !pending) return;
  napi_value exception;
  napi_valuetype type = napi_undefined;
  if (napi_get_and_clear_last_exception(env_, &exception) != napi_ok) return;
  // A termination has no value.
  if (napi_typeof(env_, exception, &type) == napi_ok && type != napi_undefined) napi_fatal_exception(env_, exception);
}

void Environment::leave() {
  leaving_ = true;
  {
    Napi::HandleScope scope(env_);
    handles.closeAll();
    errorConstructor.Reset();
    onCompletion.Reset();
    onEvent.Reset();
  }
  leaveWhenDone();
}

void Environment::leaveWhenDone() {
  if (!leaving_ || watchers_ > 0) return;
  napi_async_cleanup_hook_handle hook = hook_;
  delete this;
  napi_remove_async_cleanup_hook(hook);
}
