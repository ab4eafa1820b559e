#include "merge/file_range.h"

#include <cstring>

namespace wisemerge {
namespace {

// Shorter reads go through the page cache: aligning them would cost more than it saves.
constexpr uint64_t kMinDirectRead = 64 * 1024;

}  // namespace

uint8_t* read_range(const SharedFiles& files, const MergeFile& file, uint64_t position, uint64_t bytes,
                    uint64_t item, uint8_t* room) {
  const bool direct = file.direct_fd >= 0 && bytes >= kMinDirectRead;
  const uint64_t before = direct ? position % kReadPage : 0;
  const uint64_t wanted = before + bytes;
  const uint64_t length = direct ? (wanted + kReadPage - 1) / kReadPage * kReadPage : wanted;
  read_fully(files.at(direct ? file.direct_fd : file.fd), room, position - before, length, wanted);
  uint8_t* const data = room + before;
  if (reinterpret_cast<uintptr_t>(data) % item == 0) return data;
  std::memmove(room, data, bytes);
  return room;
}

void read_cached(const SharedFiles& files, const MergeFile& file, uint64_t position, uint64_t bytes,
                 void* into) {
  read_fully(files.at(file.fd), static_cast<uint8_t*>(into), position, bytes, bytes);
}

}  // namespace wisemerge
