// The bytes of an open file, through a descriptor of its own.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/byte_source.h"
#include "core/shared_fd.h"

namespace wisemerge {

class FileSource final : public ByteSource {
 public:
  // `bytes` is the file's size. Throws FileError ERR_IO.
  FileSource(int fd, uint64_t bytes) : fd_(fd), bytes_(bytes) {}

  uint64_t size() const override { return bytes_; }

  void read(uint64_t at, void* into, size_t bytes) override {
    for (size_t done = 0; done < bytes;) {
      const ssize_t got =
          pread(fd_.get(), static_cast<char*>(into) + done, bytes - done, static_cast<off_t>(at + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw Error("ERR_IO", std::strerror(errno));
      if (got == 0) throw Error("ERR_INPUT_CHANGED", "the file became shorter while it was read");
      done += static_cast<size_t>(got);
    }
  }

 private:
  SharedFd fd_;
  const uint64_t bytes_;
};

}  // namespace wisemerge
