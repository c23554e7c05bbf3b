// Writes the files and links of a tree, by their paths below its root. The first failure is kept and the rest left out.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>

namespace soft {

class Folder {
 public:
  explicit Folder(std::string root) : root_(std::move(root)) {}

  void make(const std::string& path);
  // One line, as most attributes are.
  void text(const std::string& path, const std::string& words) { bytes(path, words + "\n"); }
  void bytes(const std::string& path, const std::string& bytes);
  // The attributes in `folder`, which ends in '/'.
  using Attributes = std::initializer_list<std::pair<const char*, std::string>>;
  void attributes(const std::string& folder, Attributes all) {
    for (const auto& [name, words] : all) text(folder + name, words);
  }
  // A link to `target`, below the same root, in the relative words that the kernel uses.
  void link(const std::string& path, const std::string& target);

  // A link to a place outside of it.
  void linkOut(const std::string& path, const std::string& target);

  // An errno, or 0.
  int error() const { return error_; }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
  int error_ = 0;
};

// Removes a directory with all that is in it, following no link.
void removeTree(const std::string& path);

}  // namespace soft
