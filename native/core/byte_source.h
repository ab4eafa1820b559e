// Bytes of a file by position, for parsers that need a few places of a large file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wisemerge {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  // Reads `bytes` bytes at `at`; the range lies within size(). Throws Error ERR_IO, ERR_INPUT_CHANGED.
  virtual void read(uint64_t at, void* into, size_t bytes) = 0;
};

}  // namespace wisemerge
