#include "core/file_io.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace wisemerge {

uint64_t pad_to_page(uint8_t* data, uint64_t length) {
  const uint64_t padded = whole_pages(length);
  std::memset(data + length, 0, padded - length);
  return padded;
}

void read_fully(const SharedFd& file, uint8_t* into, uint64_t position, uint64_t length, uint64_t wanted) {
  for (uint64_t done = 0; done < wanted;) {
    const ssize_t got = pread(file.get(), into + done, length - done, static_cast<off_t>(position + done));
    if (got < 0 && errno == EINTR) continue;
    // A direct read that stopped at an unaligned end of file cannot be continued: EINVAL, as if at its end.
    if (got == 0 || (got < 0 && errno == EINVAL && done % kIoPage != 0)) {
      throw FileError("ERR_INPUT_CHANGED", "it became shorter", file.original(), "read");
    }
    if (got < 0) throw FileError("ERR_IO", std::strerror(errno), file.original(), "read");
    done += static_cast<uint64_t>(got);
  }
}

void write_fully(const SharedFd& file, const uint8_t* from, uint64_t length, uint64_t position) {
  for (uint64_t done = 0; done < length;) {
    const ssize_t put = pwrite(file.get(), from + done, length - done, static_cast<off_t>(position + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const bool full = errno == ENOSPC || errno == EDQUOT;
      throw FileError(full ? "ERR_NO_SPACE" : "ERR_IO", std::strerror(errno), file.original(), "write");
    }
    // Again and again it would be forever.
    if (put == 0) throw FileError("ERR_IO", "nothing was written", file.original(), "write");
    done += static_cast<uint64_t>(put);
  }
}

}  // namespace wisemerge
