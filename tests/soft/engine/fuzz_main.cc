// Runs a fuzz target without libFuzzer: the files (or folders of files) named, then N inputs from a seed.
//   fuzz_replay [PATH…] [--runs N] [--seed S]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

size_t replay(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path)) count += replay(entry.path());
    return count;
  }
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return 1;
}

}  // namespace

int main(int count, char** arguments) {
  size_t runs = 0, seed = 1, files = 0;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--runs") == 0 && i + 1 < count) {
      runs = std::strtoull(arguments[++i], nullptr, 10);
    } else if (std::strcmp(arguments[i], "--seed") == 0 && i + 1 < count) {
      seed = std::strtoull(arguments[++i], nullptr, 10);
    } else {
      files += replay(arguments[i]);
    }
  }
  for (size_t i = 0; i < runs; ++i) {
    std::mt19937_64 random(seed + i);
    std::vector<uint8_t> bytes(random() % 2048);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 3 == 0 ? 0 : random());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%zu files, %zu runs\n", files, runs);
}
