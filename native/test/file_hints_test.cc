#include "core/file_hints.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"
#include "core/status.h"

using namespace wisemerge;

namespace {

// An open file without a name.
struct TemporaryFile {
  TemporaryFile() {
    const char* const folder = std::getenv("TMPDIR");
    std::string path = std::string(folder ? folder : "/tmp") + "/wisemerge-test-XXXXXX";
    fd = mkstemp(path.data());
    unlink(path.c_str());
  }
  ~TemporaryFile() { close(fd); }
  int fd;
};

std::string preallocate_code(int fd, uint64_t bytes) {
  try {
    return preallocate(fd, bytes) ? "reserved" : "unsupported";
  } catch (const Error& error) {
    return error.code();
  }
}

}  // namespace

TEST("file hints: preallocation sets the size where it is supported") {
  TemporaryFile file;
  struct stat status;
  const std::string result = preallocate_code(file.fd, 1 << 20);
  CHECK(result == "reserved" || result == "unsupported");
  CHECK_EQ(fstat(file.fd, &status), 0);
  CHECK_EQ(status.st_size, result == "reserved" ? 1 << 20 : 0);
}

TEST("file hints: failures are told apart") {
  TemporaryFile file;
#if defined(__linux__)
  CHECK_EQ(preallocate_code(-1, 1 << 20), "ERR_IO");
  CHECK_EQ(preallocate_code(file.fd, uint64_t{1} << 62), "ERR_NO_SPACE");
#else
  CHECK_EQ(preallocate_code(-1, 1 << 20), "unsupported");
#endif
}

TEST("file hints: a file is synced, and what cannot be is an error") {
  TemporaryFile file;
  CHECK_EQ(write(file.fd, "x", 1), 1);
  sync_file(file.fd);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  for (const int fd : {-1, ends[0]}) {
    try {
      sync_file(fd);
      CHECK(!"was synced");
    } catch (const Error& error) {
      CHECK_EQ(std::string(error.code()), "ERR_IO");
    }
  }
  for (const int fd : ends) close(fd);
}

TEST("file hints: a file just written is cached") {
  TemporaryFile file;
  const std::vector<char> data((1 << 20) + 17, 'x');
  CHECK_EQ(write(file.fd, data.data(), data.size()), static_cast<ssize_t>(data.size()));
  const auto cached = cached_bytes(file.fd, data.size());
  if (cached) CHECK_EQ(*cached, data.size());
  CHECK(cached_bytes(file.fd, 0).value_or(0) == 0);
  evict(file.fd);  // may keep pages (tmpfs), must not lose data
  std::vector<char> read_back(data.size());
  CHECK_EQ(pread(file.fd, read_back.data(), read_back.size(), 0), static_cast<ssize_t>(data.size()));
  CHECK(read_back == data);
}
