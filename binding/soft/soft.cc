#include "soft.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "hooks/hooks.h"
#include "hooks/registry.h"

namespace soft {
namespace {

// Under LD_PRELOAD nobody calls ibverbs_soft_open(): the variable speaks for itself.
__attribute__((constructor)) void whenLoaded() {
  if (getenv("IBVERBS_SOFT")) installHooks();
}

void append(std::string* text, const PortIdentity& port, size_t number) {
  *text += "port=" + std::to_string(number) + " mac=" + macText(port.mac) + "\n";
}

// Where the path of this library does not fit LD_PRELOAD, `ibverbs soft` gave it a link in a folder that bears the
// number of its process (launch/preload_path.cc), which by now is the program: it goes with it.
__attribute__((destructor)) void whenEnding() {
  const char* value = getenv("LD_PRELOAD");
  if (!value) return;
  const std::string libraries = value, name = "/ibverbs-preload-" + std::to_string(getpid()) + "-";
  const size_t at = libraries.find(name);
  if (at == std::string::npos) return;
  const size_t before = libraries.find_last_of(": ", at), start = before == std::string::npos ? 0 : before + 1;
  const std::string link = libraries.substr(start, libraries.find_first_of(": ", at) - start);
  if (unlink(link.c_str()) == 0) rmdir(link.substr(0, link.rfind('/')).c_str());
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
