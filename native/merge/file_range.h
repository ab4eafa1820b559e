// Reads ranges of the files of a merge.
#pragma once

#include <cstdint>
#include <map>

#include "core/file_io.h"
#include "core/shared_fd.h"

namespace wisemerge {

// The files of the jobs under way, by the caller's descriptor.
using SharedFiles = std::map<int, SharedFd>;

// A file through the page cache and past it.
struct MergeFile {
  int fd;
  int direct_fd;  // -1: not past it
};

// A direct read widens its range to whole pages: room that it needs besides the bytes wanted.
inline constexpr uint64_t kReadPage = kIoPage, kReadSlack = 2 * kReadPage;

// Bytes [position, position + bytes) into `room`, which begins at a page and has kReadSlack more than that.
// Returns where they lie in it, at a multiple of `item`. Past the page cache where that is worth it. Throws
// FileError ERR_INPUT_CHANGED, ERR_IO.
uint8_t* read_range(const SharedFiles& files, const MergeFile& file, uint64_t position, uint64_t bytes,
                    uint64_t item, uint8_t* room);

// The same through the page cache, into memory of any alignment.
void read_cached(const SharedFiles& files, const MergeFile& file, uint64_t position, uint64_t bytes,
                 void* into);

}  // namespace wisemerge
