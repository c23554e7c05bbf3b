// `ibverbs soft -- PROGRAM`: becomes the program, with the software devices in sight.
//
// The shared library is the launcher, too (main.cc): Node starts it by execve(2), as /lib64/ld-linux-*.so runs any
// object with an entry point, and it becomes the program by another. So the program has the process that the shell
// started, with its number, terminal, standard streams, working directory, exit code and signals; and a user namespace,
// which a process with threads may not enter (unshare(2)), can be entered by one with a single thread.
#pragma once

#include <string>
#include <vector>

#include "device/identity.h"

namespace soft {

// Enters a mount namespace where sysfs shows the devices beside the machine's own: with CAP_SYS_ADMIN as it is, else in
// a user namespace too. False and `why` where that cannot be; then nothing has changed. `how` says which it was.
bool enterMountNamespace(const std::vector<DeviceIdentity>& devices, const std::string& card,
                         const std::string& library, std::string* how, std::string* why);

// Covers /sys by a file system that holds the tree of the devices and the machine's own sysfs around it, and, where
// LD_PRELOAD cannot hold its path, the library. An errno and the call that failed, or 0.
int mountSysfs(const std::vector<DeviceIdentity>& devices, const std::string& card, const std::string& library,
               std::string* call);

}  // namespace soft
