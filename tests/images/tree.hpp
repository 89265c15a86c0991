// Owns: a temporary directory that plays an image's root. Called by: tests/images. Never: leaves
// it behind.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/fd.hpp"

class Tree {
 public:
  Tree() {
    std::string pattern = (std::filesystem::temp_directory_path() / "uni-image-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
    fd_ = base::Fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~Tree() { std::filesystem::remove_all(path_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int fd() const { return fd_.get(); }

  void directory(const std::string& name) const {
    std::filesystem::create_directories(path_ / name);
  }
  void file(const std::string& name, const std::string& content) const {
    std::ofstream(in(name), std::ios::binary) << content;
  }
  void link(const std::string& name, const std::string& target) const {
    std::filesystem::create_symlink(target, in(name));
  }
  void fifo(const std::string& name) const { ASSERT_EQ(::mkfifo(in(name).c_str(), 0600), 0); }
  /// A hole at the end.
  void enlarge(const std::string& name, off_t size) const {
    ASSERT_EQ(::truncate(in(name).c_str(), size), 0);
  }
  void attribute(const std::string& name, const char* key, const std::string& value) const {
    ASSERT_EQ(::lsetxattr((path_ / name).c_str(), key, value.data(), value.size(), 0), 0) << key;
  }

 private:
  std::filesystem::path in(const std::string& name) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    return path_ / name;
  }
  std::filesystem::path path_;
  base::Fd fd_;
};
