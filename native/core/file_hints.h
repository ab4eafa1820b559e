// What the page cache and the file system can be told about a file, where the platform has a call for it.
#pragma once

#include <cstdint>
#include <optional>

namespace wisemerge {

// Reserves `bytes` of disk for the file and makes it that long. False where the file system cannot.
// Throws Error ERR_NO_SPACE when the disk or quota is full, ERR_IO otherwise.
bool preallocate(int fd, uint64_t bytes);

// Bytes of the first `bytes` of the file in the page cache; nothing where this cannot be told.
std::optional<uint64_t> cached_bytes(int fd, uint64_t bytes);

// Waits until the file, or directory, is on its disk. Throws Error ERR_NO_SPACE, ERR_IO.
void sync_file(int fd);

// Writes dirty pages back and drops the file's clean pages from the page cache, for cold benchmarks. Does
// nothing where the platform has no such call. Throws Error ERR_IO.
void evict(int fd);

}  // namespace wisemerge
