// What the environment asks for: IBVERBS_SOFT, and IBVERBS_SOFT_CARD beside it.
//
// IBVERBS_SOFT_CARD is how `ibverbs soft` gives one card to all the programs that it starts: the same specification
// with the addresses that were drawn for it. Each process has a NIC of its own, so one of them at a time has that card;
// another beside it draws addresses for itself, or the two could not talk over a wire.
#pragma once

#include <string>

namespace soft::environment {

struct Devices {
  std::string specification;  // empty: none are asked for
  std::string card;           // the same with addresses; empty: each process draws its own
};
Devices devices();

// The value of IBVERBS_SOFT_CARD for a specification.
std::string cardValue(const Devices& devices);

// Takes the card for this process, until it ends or execs: a descriptor, or minus one where another process has it.
int claim(const std::string& card);

}  // namespace soft::environment
