#include "core/file_hints.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "core/status.h"

#if defined(__linux__)
#include <sys/syscall.h>
#endif

namespace wisemerge {

namespace {

[[noreturn]] void throw_io(const std::string& operation, int error) {
  throw Error("ERR_IO", operation + ": " + std::strerror(error));
}

int sync_once(int fd) {
#if defined(__APPLE__)
  // Its fsync leaves the data in the disk's cache.
  if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
#endif
  return fsync(fd);
}

}  // namespace

void sync_file(int fd) {
  int result;
  do {
    result = sync_once(fd);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (errno == ENOSPC || errno == EDQUOT) {
    throw Error("ERR_NO_SPACE", std::string("writing to the disk: ") + std::strerror(errno));
  }
  throw_io("writing to the disk", errno);
}

#if defined(__linux__)

namespace {

// cachestat(2), Linux 6.5; no libc wrapper yet. Unsigned 64-bit fields by the kernel's ABI.
struct CachestatRange {
  uint64_t offset, length;
};
struct Cachestat {
  uint64_t cached, dirty, writeback, evicted, recently_evicted;
};
constexpr long kSysCachestat = 451;

// Older kernels: map windows of the file and ask which pages are resident. Only the owner of a file or one
// who may write to it gets the truth (the kernel says "resident" for all pages to others).
std::optional<uint64_t> resident_bytes(int fd, uint64_t bytes, uint64_t page) {
  constexpr uint64_t kWindow = uint64_t{1} << 30;
  std::vector<unsigned char> pages;
  uint64_t resident = 0;
  for (uint64_t offset = 0; offset < bytes; offset += kWindow) {
    const uint64_t length = std::min(kWindow, bytes - offset);
    void* const view = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset));
    if (view == MAP_FAILED) return std::nullopt;
    pages.resize((length + page - 1) / page);
    const int result = mincore(view, length, pages.data());
    munmap(view, length);
    if (result != 0) return std::nullopt;
    resident += page * static_cast<uint64_t>(std::count_if(pages.begin(), pages.end(),
                                                           [](unsigned char state) { return state & 1; }));
  }
  return std::min(resident, bytes);
}

}  // namespace

bool preallocate(int fd, uint64_t bytes) {
  int result;
  do {
    result = fallocate(fd, 0, 0, static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return true;
  switch (errno) {
    case EOPNOTSUPP:
    case ENOSYS:
      return false;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      throw Error("ERR_NO_SPACE", "cannot reserve " + std::to_string(bytes) +
                                      " bytes for the output: " + std::strerror(errno));
    default:
      throw_io("reserving space for the output", errno);
  }
}

std::optional<uint64_t> cached_bytes(int fd, uint64_t bytes) {
  if (bytes == 0) return 0;
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  CachestatRange range{0, bytes};
  Cachestat state{};
  if (syscall(kSysCachestat, fd, &range, &state, 0) == 0) return std::min(state.cached * page, bytes);
  return resident_bytes(fd, bytes, page);
}

void evict(int fd) {
  if (fdatasync(fd) != 0 && errno != EINVAL && errno != EROFS)
    throw_io("writing back before eviction", errno);
  if (const int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
    throw_io("dropping cached pages", error);
}

#else

bool preallocate(int, uint64_t) { return false; }
std::optional<uint64_t> cached_bytes(int, uint64_t) { return std::nullopt; }
void evict(int) {}

#endif

}  // namespace wisemerge
