// A test is a function with a name; a failed check prints its place and values, and fails the process.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

struct Register {
  Register(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

#define TEST(name)                                    \
  static void name();                                 \
  static const Register register_##name(#name, name); \
  static void name()

inline void failAt(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  std::exit(1);
}

template <typename A, typename B>
void checkEqual(const char* file, int line, const char* text, const A& actual, const B& expected) {
  if (static_cast<long long>(actual) == static_cast<long long>(expected)) return;
  failAt(file, line,
         std::string(text) + " is " + std::to_string(static_cast<long long>(actual)) + ", expected " +
             std::to_string(static_cast<long long>(expected)));
}

inline std::string hex(const uint8_t* bytes, size_t length) {
  std::string text;
  char byte[4];
  for (size_t i = 0; i < length; ++i) {
    std::snprintf(byte, sizeof byte, "%02x", bytes[i]);
    text += byte;
  }
  return text;
}

inline void checkBytes(const char* file, int line, const uint8_t* actual, const uint8_t* expected, size_t length) {
  if (std::memcmp(actual, expected, length) == 0) return;
  failAt(file, line, "bytes are " + hex(actual, length) + ", expected " + hex(expected, length));
}

#define CHECK(condition) \
  if (!(condition)) failAt(__FILE__, __LINE__, "not so: " #condition)
#define EQUAL(actual, expected) checkEqual(__FILE__, __LINE__, #actual, actual, expected)
#define BYTES(actual, expected, length) checkBytes(__FILE__, __LINE__, actual, expected, length)
#define HEX(actual, length, expected)    \
  if (hex(actual, length) != (expected)) \
  failAt(__FILE__, __LINE__, #actual " is " + hex(actual, length) + ", expected " + std::string(expected))
