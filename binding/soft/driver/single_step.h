// Has a thread execute one instruction, the store that it waits with in its fault, while the page that it stores to is
// open for no longer than that. The thread is asked by a signal, whose handler opens the page and sets the processor's
// trap flag; the trap behind the instruction closes the page. So no store needs to be decoded and emulated: it may be
// of 8 bytes, of 64 (AVX-512, movdir64b), an exchange, a step of `rep movs`. (A second mapping of the page would not
// do: the store has the address that it has.)
//
// A thread that blocks SIGSEGV is not asked, nor is anyone where somebody else's handler would be. On arm64 the flag
// for single steps is not the program's to set.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace soft {

struct StepOrder;

// Asks `thread`. Null where that cannot be done.
StepOrder* orderStep(pid_t thread, int descriptor, void* page, size_t size);
// Whether the instruction is done and the page closed; then the order is over.
bool stepDone(StepOrder* order);
// Takes the order back. False when the thread has begun with it: then it will be done.
bool withdrawStep(StepOrder* order);

}  // namespace soft
