// A file without a name.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <vector>

#include "check.h"

namespace wisemerge::test {

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::vector<uint8_t>& bytes = {}) : file_(std::tmpfile()) {
    if (!bytes.empty()) std::fwrite(bytes.data(), 1, bytes.size(), file_);
    std::fflush(file_);
  }
  ~TemporaryFile() { std::fclose(file_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int fd() const { return fileno(file_); }
  std::vector<uint8_t> read() const {
    std::vector<uint8_t> bytes(static_cast<size_t>(lseek(fd(), 0, SEEK_END)));
    CHECK_EQ(pread(fd(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

 private:
  std::FILE* file_;
};

}  // namespace wisemerge::test
