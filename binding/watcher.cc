#include "watcher.h"

#include "environment.h"

Watcher* Watcher::start(Environment& environment, int fd, std::function<void()> onReadable, int* error) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(environment.env(), &loop) != napi_ok) {
    *error = EINVAL;
    return nullptr;
  }
  auto* watcher = new Watcher(environment, std::move(onReadable));
  watcher->poll_.data = watcher;
  int status = uv_poll_init(loop, &watcher->poll_, fd);
  if (status) {
    delete watcher;
    *error = -status;
    return nullptr;
  }
  environment.watcherOpened();
  uv_unref(reinterpret_cast<uv_handle_t*>(&watcher->poll_));
  status = uv_poll_start(&watcher->poll_, UV_READABLE, [](uv_poll_t* poll, int, int) {
    // An error status (the device went away) is left to the reader of the descriptor, who gets its errno.
    static_cast<Watcher*>(poll->data)->onReadable_();
  });
  if (status) {
    watcher->stop();
    *error = -status;
    return nullptr;
  }
  return watcher;
}

void Watcher::reference(bool on) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&poll_);
  if (on) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void Watcher::stop() {
  uv_poll_stop(&poll_);
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* watcher = static_cast<Watcher*>(handle->data);
    Environment& environment = watcher->environment_;
    delete watcher;
    environment.watcherClosed();
  });
}
