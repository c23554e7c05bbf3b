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
  *error = watcher->listen(UV_READABLE);
  if (*error) {
    watcher->stop();
    return nullptr;
  }
  return watcher;
}

int Watcher::listen(int events) {
  if (events == events_) return 0;
  int status;
  if (events == 0) {
    status = uv_poll_stop(&poll_);
  } else {
    status = uv_poll_start(&poll_, events, [](uv_poll_t* poll, int status, int) {
      auto* watcher = static_cast<Watcher*>(poll->data);
      // libuv stops a poll whose descriptor reports an error (uv__poll_io in its src/unix/poll.c); the next listen()
      // must start it anew. The error itself is left to the reader of the descriptor, who gets its errno.
      if (status < 0) watcher->events_ = 0;
      watcher->onReadable_();
    });
  }
  if (status == 0) events_ = events;
  return -status;
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
