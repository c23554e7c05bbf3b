#include "ethernet/interface/ethtool.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "argument.h"

namespace ethernet {
namespace {

// Returns 0 or a positive errno.
int request(const std::string& name, void* command) {
  ifreq to{};
  if (name.size() >= IFNAMSIZ) return ENODEV;
  memcpy(to.ifr_name, name.c_str(), name.size());
  to.ifr_data = static_cast<char*>(command);
  const int control = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) return errno;
  const int error = ioctl(control, SIOCETHTOOL, &to) ? errno : 0;
  ::close(control);
  return error;
}

std::string nameOf(const Napi::CallbackInfo& info) { return argument::string(info.Env(), info[0], "name"); }

Napi::Value status(const Napi::CallbackInfo& info, int error) { return Napi::Number::New(info.Env(), -error); }

// driver(name): the name of its driver; empty where that is not told
Napi::Value driver(const Napi::CallbackInfo& info) {
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (request(nameOf(info), &driver)) return Napi::String::New(info.Env(), "");
  return Napi::String::New(info.Env(), driver.driver, strnlen(driver.driver, sizeof driver.driver));
}

// flags(name): its ETH_FLAG_* that are on, or a negative errno
Napi::Value flags(const Napi::CallbackInfo& info) {
  ethtool_value flags{};
  flags.cmd = ETHTOOL_GFLAGS;
  const int error = request(nameOf(info), &flags);
  return error ? status(info, error) : Napi::Number::New(info.Env(), flags.data);
}

// channels(name): { status, receive, transmit, other, combined, most: { receive, transmit, other, combined } }
Napi::Value channels(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  ethtool_channels counts{};
  counts.cmd = ETHTOOL_GCHANNELS;
  const int error = request(nameOf(info), &counts);
  const auto describe = [&](uint32_t receive, uint32_t transmit, uint32_t other, uint32_t combined) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("receive", Napi::Number::New(env, receive));
    result.Set("transmit", Napi::Number::New(env, transmit));
    result.Set("other", Napi::Number::New(env, other));
    result.Set("combined", Napi::Number::New(env, combined));
    return result;
  };
  Napi::Object result = describe(counts.rx_count, counts.tx_count, counts.other_count, counts.combined_count);
  result.Set("most", describe(counts.max_rx, counts.max_tx, counts.max_other, counts.max_combined));
  result.Set("status", Napi::Number::New(env, -error));
  return result;
}

// setChannels(name, receive, transmit, other, combined): 0 or a negative errno
Napi::Value setChannels(const Napi::CallbackInfo& info) {
  ethtool_channels counts{};
  counts.cmd = ETHTOOL_SCHANNELS;
  counts.rx_count = argument::uint32(info, 1, "receive");
  counts.tx_count = argument::uint32(info, 2, "transmit");
  counts.other_count = argument::uint32(info, 3, "other");
  counts.combined_count = argument::uint32(info, 4, "combined");
  return status(info, request(nameOf(info), &counts));
}

// addRule(name, rule): where the device put it, or a negative errno. `rule` is a struct ethtool_rx_flow_spec, bytes
Napi::Value addRule(const Napi::CallbackInfo& info) {
  ethtool_rxnfc command{};
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().ByteLength() != sizeof command.fs ||
      info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throwArgumentType(info.Env(), "rule", ("a Uint8Array of " + std::to_string(sizeof command.fs) + " bytes").c_str());
  }
  command.cmd = ETHTOOL_SRXCLSRLINS;
  memcpy(&command.fs, info[1].As<Napi::Uint8Array>().Data(), sizeof command.fs);
  const int error = request(nameOf(info), &command);
  return error ? status(info, error) : Napi::Number::New(info.Env(), command.fs.location);
}

// removeRule(name, location): 0 or a negative errno
Napi::Value removeRule(const Napi::CallbackInfo& info) {
  ethtool_rxnfc command{};
  command.cmd = ETHTOOL_SRXCLSRLDEL;
  command.fs.location = argument::uint32(info, 1, "location");
  return status(info, request(nameOf(info), &command));
}

// ruleTable(name): { status, special, size }: whether the device chooses a rule's location itself (RX_CLS_LOC_ANY), and
// otherwise how many locations it has, with `used`, those that are taken
Napi::Value ruleTable(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string name = nameOf(info);
  ethtool_rxnfc command{};
  command.cmd = ETHTOOL_GRXCLSRLCNT;
  int error = request(name, &command);
  Napi::Object result = Napi::Object::New(env);
  Napi::Array used = Napi::Array::New(env);
  const bool special = command.data & RX_CLS_LOC_SPECIAL;
  double size = 0;
  if (!error && !special) {
    const uint32_t count = command.rule_cnt;
    std::vector<uint8_t> memory(sizeof(ethtool_rxnfc) + count * sizeof(uint32_t));
    auto* all = reinterpret_cast<ethtool_rxnfc*>(memory.data());
    all->cmd = ETHTOOL_GRXCLSRLALL;
    all->rule_cnt = count;
    error = request(name, all);
    size = static_cast<double>(all->data);
    for (uint32_t i = 0; !error && i < std::min(count, all->rule_cnt); i++) {
      used.Set(i, Napi::Number::New(env, all->rule_locs[i]));
    }
  }
  result.Set("status", Napi::Number::New(env, -error));
  result.Set("special", Napi::Boolean::New(env, special));
  result.Set("size", Napi::Number::New(env, size));
  result.Set("used", used);
  return result;
}

}  // namespace

void initializeEthtool(Napi::Env env, Napi::Object exports) {
  Napi::Object ethtool = Napi::Object::New(env);
  ethtool.Set("driver", Napi::Function::New<driver>(env, "driver"));
  ethtool.Set("flags", Napi::Function::New<flags>(env, "flags"));
  ethtool.Set("channels", Napi::Function::New<channels>(env, "channels"));
  ethtool.Set("setChannels", Napi::Function::New<setChannels>(env, "setChannels"));
  ethtool.Set("addRule", Napi::Function::New<addRule>(env, "addRule"));
  ethtool.Set("removeRule", Napi::Function::New<removeRule>(env, "removeRule"));
  ethtool.Set("ruleTable", Napi::Function::New<ruleTable>(env, "ruleTable"));
  exports.Set("ethtool", ethtool);
}

}  // namespace ethernet
