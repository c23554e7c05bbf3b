// A seat at a wire between two processes: there are two, and a third process gets none. They are locks on a file beside
// the wire's socket (fcntl(2), open file description locks), which the kernel gives back when a process ends, however
// it ends.
#pragma once

#include <cstdint>
#include <string>

namespace soft {

class Seat {
 public:
  ~Seat() { leave(); }

  // Takes a seat and the turn. An errno, and in `words` more than it says; or 0. EBUSY: both seats are taken.
  int take(const std::string& file, std::string* words);

  // The turn: only one process at a time connects or leaves. False while another has it.
  bool turn(bool wait);
  void endTurn();

  // Whether the other seat is free; in one's turn.
  bool alone();

  // Gives the seat back; the last process removes the file. Ends the turn.
  void leave();

 private:
  int sitDown(std::string* words);
  bool lock(short type, int64_t byte);
  bool taken(int64_t byte);

  std::string file_;
  int descriptor_ = -1;
  int64_t seat_ = -1;
};

}  // namespace soft
