#include "control/control.h"

#include <sys/socket.h>

#include <cerrno>

#include "argument.h"
#include "error.h"

namespace control {
namespace {

// peerOwner(descriptor): the effective user of the process at the other end when it connected (SO_PEERCRED, unix(7)).
Napi::Value peerOwner(const Napi::CallbackInfo& info) {
  const int descriptor = argument::integer<int>(info.Env(), info[0], "descriptor");
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    throwErrno(info.Env(), errno, "getsockopt", "SO_PEERCRED");
  }
  return Napi::Number::New(info.Env(), peer.uid);
}

}  // namespace

void initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object control = Napi::Object::New(env);
  control.Set("peerOwner", Napi::Function::New(env, peerOwner, "peerOwner"));
  exports.Set("control", control);
}

}  // namespace control
