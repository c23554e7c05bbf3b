// The process's handler of SIGSEGV and SIGBUS, for the faults of guarded.h. Every other fault is somebody else's: V8
// catches WebAssembly's accesses out of bounds by SIGSEGV, AddressSanitizer reports by it, a program may have its own.
// They were there before or come later, so what is not ours is passed on, and whoever took our place is made a part of
// that.
#pragma once

#include <csignal>

namespace soft {

// Puts the handler in front of those that there are. Cheap where it is still there: so it is called again and again, by
// the NIC's thread and with each command.
void keepFaultHandler();
// The same, and from now on what somebody sends as SIGSEGV is shown to `onSent` first: whether it was meant for it.
using SentSignal = bool (*)(siginfo_t* info, void* context);
void keepFaultHandler(SentSignal onSent);

// A thread that blocks all signals: these two have to reach it.
void unblockFaults();

}  // namespace soft
