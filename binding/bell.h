// A doorbell for hot code (Bell of lib/ethernet/port.ts): a JavaScript function without arguments and result, bound to
// its object. The status goes to a mailbox, words of shared memory: a call with arguments and a result costs twice as
// much. What an object reads there JavaScript may have written: any words must do.
#pragma once

#include <napi.h>

#include <memory>
#include <utility>

#include "shared_memory.h"

// `ring(object, mailbox)` writes the status, and may not throw. The function outlives the object and then does nothing.
template <typename T, void (*ring)(T&, int32_t* mailbox)>
class Bell {
 public:
  Bell() = default;
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
  ~Bell() {
    if (bound_) bound_->object = nullptr;
  }

  // The function, in place of the one before. Throws for a mailbox of fewer than `words` words.
  Napi::Value bind(Napi::Env env, T& object, Napi::Value mailbox, size_t words) {
    auto bound = std::make_shared<Bound>();
    bound->object = &object;
    bound->mailbox = SharedMemory(env, mailbox, "mailbox");
    if (!bound->mailbox.aligned(sizeof(int32_t)) || bound->mailbox.length() < words * sizeof(int32_t)) {
      throwArgumentRange(env, "mailbox", "long enough");
    }
    if (bound_) bound_->object = nullptr;
    bound_ = std::move(bound);
    auto* held = new std::shared_ptr<Bound>(bound_);
    napi_value function;
    napi_create_function(env, "ring", NAPI_AUTO_LENGTH, call, held->get(), &function);
    napi_add_finalizer(
        env, function, held, [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<Bound>*>(data); },
        nullptr, nullptr);
    return Napi::Value(env, function);
  }

  // Of the last bind(); null before it.
  int32_t* mailbox() const { return bound_ ? reinterpret_cast<int32_t*>(bound_->mailbox.data()) : nullptr; }

 private:
  struct Bound {
    T* object = nullptr;
    SharedMemory mailbox;
  };

  static napi_value call(napi_env env, napi_callback_info info) {
    void* data = nullptr;
    napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
    auto* bound = static_cast<Bound*>(data);
    if (bound->object) ring(*bound->object, reinterpret_cast<int32_t*>(bound->mailbox.data()));
    return nullptr;
  }

  std::shared_ptr<Bound> bound_;
};
