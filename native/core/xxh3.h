// XXH3, 64 bits, seed 0, over data that comes in pieces: the hash of every output file. Specification:
// doc/xxhash_spec.md of github.com/Cyan4973/xxHash, section "XXH3 algorithm". The result of digest() is what
// `xxhsum -H3` prints.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wisemerge {

class Xxh3 {
 public:
  void update(const void* data, size_t length);
  // Of all that came so far; more may follow.
  uint64_t digest() const;

 private:
  static constexpr size_t kStripe = 64, kBlock = 1024;

  // The inner state once more than a block has come: 8 lanes of 64 bits.
  uint64_t lanes_[8] = {0xC2B2AE3Dull,         0x9E3779B185EBCA87ull, 0xC2B2AE3D27D4EB4Full,
                        0x165667B19E3779F9ull, 0x85EBCA77C2B2AE63ull, 0x85EBCA77ull,
                        0x27D4EB2F165667C5ull, 0x9E3779B1ull};
  // The end of the data before the buffer, then the buffer: the last stripe may reach back into the former.
  uint8_t recent_[kStripe + kBlock] = {};
  size_t buffered_ = 0;
  uint64_t total_ = 0;
};

}  // namespace wisemerge
