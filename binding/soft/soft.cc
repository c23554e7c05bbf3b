#include "soft.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "hooks/hooks.h"
#include "hooks/registry.h"

namespace soft {
namespace {

// Under LD_PRELOAD nobody calls ibverbs_soft_open(): the variable speaks for itself.
__attribute__((constructor)) void whenLoaded() {
  if (getenv("IBVERBS_SOFT")) installHooks();
}

void append(std::string* text, const PortIdentity& port, size_t number) {
  char line[96];
  snprintf(line, sizeof line, "port=%zu mac=%02x:%02x:%02x:%02x:%02x:%02x\n", number, port.mac[0], port.mac[1],
           port.mac[2], port.mac[3], port.mac[4], port.mac[5]);
  *text += line;
}

}  // namespace
}  // namespace soft

extern "C" {

__attribute__((visibility("default"))) int ibverbs_soft_open(const char* specification, uint32_t* number, char* words,
                                                             size_t wordsSize) {
  std::string why;
  int error = 0;
  if (!soft::installHooks()) {
    error = ENOSYS;
    why = "libibverbs.so.1 cannot be loaded";
  } else {
    error = soft::Registry::instance().add(specification, number, &why);
  }
  if (wordsSize) snprintf(words, wordsSize, "%s", why.c_str());
  return error;
}

__attribute__((visibility("default"))) int ibverbs_soft_environment(char* words, size_t wordsSize) {
  std::string why;
  soft::installHooks();  // without libibverbs nobody will ask for the devices, and the addon says so
  const int error = soft::Registry::instance().fromEnvironment(&why);
  if (wordsSize) snprintf(words, wordsSize, "%s", why.c_str());
  return error;
}

__attribute__((visibility("default"))) void ibverbs_soft_close(uint32_t number) {
  soft::Registry::instance().remove(number);
}

__attribute__((visibility("default"))) size_t ibverbs_soft_describe(uint32_t number, char* text, size_t size) {
  const auto world = soft::Registry::instance().world(number);
  std::string all;
  if (world) {
    for (const auto& device : world->devices()) {
      all += "name=" + device->identity.name + " wakeup=" + soft::Driver::wakeup() + "\n";
      for (size_t i = 0; i < device->identity.ports.size(); i++) soft::append(&all, device->identity.ports[i], i + 1);
    }
  }
  if (size) snprintf(text, size, "%s", all.c_str());
  return all.size() + 1;
}

__attribute__((visibility("default"))) size_t ibverbs_soft_violations(uint32_t number, char* text, size_t size) {
  const auto world = soft::Registry::instance().world(number);
  std::string all;
  if (world) {
    for (const auto& device : world->devices()) {
      for (const std::string& words : device->violations()) all += words + "\n";
    }
  }
  if (size) snprintf(text, size, "%s", all.c_str());
  return all.size() + 1;
}

__attribute__((visibility("default"))) int ibverbs_soft_set_link(uint32_t number, const char* name, uint8_t port,
                                                                 int up) {
  const auto world = soft::Registry::instance().world(number);
  if (!world) return ENODEV;
  for (const auto& device : world->devices()) {
    if (device->identity.name != name) continue;
    const int error = device->nic.setLink(port, up != 0);
    world->driver().wake();
    return error;
  }
  return ENODEV;
}

}  // extern "C"
