#include "ethernet/interface/membership.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "error.h"

namespace ethernet {

const uint8_t* addressOf(Napi::Env env, Napi::Value value) {
  if (value.IsUndefined()) return nullptr;
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      value.As<Napi::Uint8Array>().ByteLength() != ETH_ALEN) {
    throwArgumentType(env, "address", "a Uint8Array of 6 bytes");
  }
  return value.As<Napi::Uint8Array>().Data();
}

void changeMembership(Napi::Env env, int fd, int32_t interfaceIndex, bool add, uint16_t type, const uint8_t* address) {
  packet_mreq request{};
  request.mr_ifindex = interfaceIndex;
  request.mr_type = type;
  if (address) {
    request.mr_alen = ETH_ALEN;
    memcpy(request.mr_address, address, ETH_ALEN);
  }
  const int option = add ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP;
  if (setsockopt(fd, SOL_PACKET, option, &request, sizeof request)) {
    throwErrno(env, errno, "setsockopt", add ? "PACKET_ADD_MEMBERSHIP" : "PACKET_DROP_MEMBERSHIP");
  }
}

}  // namespace ethernet
