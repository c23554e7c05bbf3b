#include "test.h"

// engine_tests [NAME]: one test, or all of them.
int main(int count, char** arguments) {
  int ran = 0;
  for (const Test& test : tests()) {
    if (count > 1 && std::strcmp(arguments[1], test.name) != 0) continue;
    test.body();
    std::printf("ok %s\n", test.name);
    ++ran;
  }
  if (ran == 0) std::fprintf(stderr, "no such test\n");
  return ran == 0;
}
