#include "ethernet/interface/interfaces.h"

#include <net/ethernet.h>
#include <net/if_arp.h>

#include <cstring>
#include <vector>

#include "error.h"
#include "ethernet/interface/links.h"

namespace ethernet {

Napi::Value interfaces(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::vector<Link> links;
  const int error = queryLinks(0, &links);
  if (error) throwErrno(env, error, "netlink", "RTM_GETLINK");
  Napi::Array result = Napi::Array::New(env, links.size());
  uint32_t count = 0;
  for (const Link& link : links) {
    const bool ethernet = link.type == ARPHRD_ETHER || link.type == ARPHRD_LOOPBACK;
    Napi::Uint8Array mac = Napi::Uint8Array::New(env, ethernet ? ETH_ALEN : 0);
    if (ethernet) memcpy(mac.Data(), link.address.data(), ETH_ALEN);
    Napi::Object item = Napi::Object::New(env);
    item.Set("name", Napi::String::New(env, link.name));
    item.Set("index", Napi::Number::New(env, link.index));
    item.Set("type", Napi::Number::New(env, link.type));
    item.Set("flags", Napi::Number::New(env, link.flags));
    item.Set("mtu", Napi::Number::New(env, link.mtu));
    item.Set("mac", mac);
    result.Set(count++, item);
  }
  return result;
}

}  // namespace ethernet
