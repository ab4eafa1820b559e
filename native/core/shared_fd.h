// A second descriptor of an open file, for work on other threads than the owner's. The owner may close its
// own at any moment (Node closes those of an environment that ends), and the number may then mean another
// file.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/status.h"

namespace wisemerge {

class SharedFd {
 public:
  // Throws FileError ERR_IO.
  explicit SharedFd(int original) : original_(original), fd_(fcntl(original, F_DUPFD_CLOEXEC, 0)) {
    if (fd_ < 0) throw FileError("ERR_IO", std::strerror(errno), original, "use");
  }
  ~SharedFd() {
    if (fd_ >= 0) close(fd_);
  }
  SharedFd(SharedFd&& other) noexcept : original_(other.original_), fd_(std::exchange(other.fd_, -1)) {}
  SharedFd& operator=(SharedFd&&) = delete;

  int get() const { return fd_; }
  // What the owner called it, for errors.
  int original() const { return original_; }

 private:
  int original_;
  int fd_;
};

}  // namespace wisemerge
