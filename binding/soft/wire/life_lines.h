// Descriptors by which the process at the other end of a wire knows that this one lives. A child of fork(2) inherits
// them and would make this process seem alive: it closes them.
#pragma once

namespace soft {

class LifeLines {
 public:
  static void add(int descriptor);
  // Before it is closed.
  static void remove(int descriptor);
  // In the child of a fork, where no lock may be taken.
  static void cut();
};

}  // namespace soft
