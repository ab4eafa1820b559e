// A file without a name.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <vector>

#include "check.h"
#include "core/file_io.h"

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

#ifdef F_SEAL_GROW
// A file of one page that cannot grow: a write of two is cut short, and one behind it fails, both only once
// they are carried out.
class SealedFile {
 public:
  SealedFile() : fd_(memfd_create("sealed", MFD_ALLOW_SEALING)) {
    CHECK_EQ(ftruncate(fd_, kIoPage), 0);
    CHECK_EQ(fcntl(fd_, F_ADD_SEALS, F_SEAL_GROW), 0);
  }
  ~SealedFile() { close(fd_); }
  SealedFile(const SealedFile&) = delete;
  SealedFile& operator=(const SealedFile&) = delete;

  int fd() const { return fd_; }

 private:
  int fd_;
};
#endif

}  // namespace wisemerge::test
