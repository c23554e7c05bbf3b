// The process's handler of SIGSEGV and SIGBUS, for the faults of guarded.h. Every other fault is somebody else's: V8
// catches WebAssembly's accesses out of bounds by SIGSEGV, AddressSanitizer reports by it, a program may have its own.
// They were there before or come later, so what is not ours is passed on, and whoever took our place is made a part of
// that.
#pragma once

namespace soft {

// Puts the handler in front of those that there are. Cheap where it is still there: so it is called again and again, by
// the NIC's thread and with each command.
void keepFaultHandler();

// A thread that blocks all signals: these two have to reach it.
void unblockFaults();

}  // namespace soft
