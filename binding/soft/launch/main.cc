// The entry point of the shared library (launch.h): LIBRARY WAY VERBOSE PROGRAM [ARGUMENTS]. LIBRARY is this file, WAY
// auto, mount or preload, VERBOSE 0 or 1; what devices there shall be is in IBVERBS_SOFT.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "device/specification.h"
#include "hooks/environment.h"
#include "launch/launch.h"
#include "launch/preload_path.h"

namespace soft {
namespace {

constexpr int kFailed = 1, kNotExecutable = 126, kNotFound = 127;  // the last two as a shell's

// Those that were to be loaded come first, as they would without us.
void preload(const std::string& library) {
  const char* given = getenv("LD_PRELOAD");
  setenv("LD_PRELOAD", (given && *given ? std::string(given) + ":" + library : library).c_str(), 1);
}

int become(char** program) {
  execvp(program[0], program);
  const int error = errno;
  fprintf(stderr, "ibverbs soft: %s: %s\n", program[0], strerror(error));
  // A file that is there lacks its interpreter.
  struct stat status;
  const bool there = strchr(program[0], '/') && stat(program[0], &status) == 0;
  return error == ENOENT && !there ? kNotFound : kNotExecutable;
}

int launch(const std::string& library, const std::string& way, bool verbose, char** program) {
  environment::Devices asked = environment::devices();
  std::vector<DeviceSpecification> devices;
  std::string how, why;
  bool mounted = false;
  // What is wrong with it the program says: it has the words for wires, too.
  if (readSpecification(asked.specification, &devices, &why) == 0) {
    asked.card = withAddresses(devices);
    setenv("IBVERBS_SOFT_CARD", environment::cardValue(asked).c_str(), 1);
    if (way == "preload") why = "asked for";
    else mounted = enterMountNamespace(identitiesOf(devices), asked.card, library, &how, &why);
  }
  if (way == "mount" && !mounted) {
    fprintf(stderr, "ibverbs soft: --by mount: %s\n", why.c_str());
    return kFailed;
  }
  if (verbose && mounted) fprintf(stderr, "ibverbs soft: by mount: /sys is the program's own, %s\n", how.c_str());
  else if (verbose) fprintf(stderr, "ibverbs soft: by preload: %s\n", why.c_str());
  std::string file = library;
  if (!fitsPreload(library)) file = mounted ? kMountedLibrary : linkThatFits(library, &why);
  if (file.empty()) {
    fprintf(stderr, "ibverbs soft: %s\n", why.c_str());
    return kFailed;
  }
  preload(file);
  return become(program);
}

}  // namespace
}  // namespace soft

__attribute__((visibility("hidden"))) int main(int count, char** words) {
  if (count < 5) return soft::kFailed;
  return soft::launch(words[1], words[2], words[3][0] == '1', words + 4);
}
