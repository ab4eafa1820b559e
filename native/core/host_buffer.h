// Aligned memory for the chunk ring. Reused, so that the cost of first touch (several times that of the
// arithmetic) is paid once; by whoever fills it first, on the threads that read files, and never by the
// JavaScript thread that allocates. Transfers can be page-locked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace wisemerge {

class HostBuffer {
 public:
  static constexpr size_t kAlignment = size_t{2} << 20;  // one huge page

  // Zero-filled; pages become resident when first used. Throws Error: ERR_INTERNAL_RANGE for 0 bytes,
  // ERR_OUT_OF_MEMORY.
  static std::shared_ptr<HostBuffer> allocate(size_t bytes);
  ~HostBuffer();
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

  // Bytes asked for by all live buffers of the process.
  static size_t live_bytes();

 private:
  HostBuffer(uint8_t* data, size_t size, size_t mapped);

  uint8_t* data_;
  size_t size_;
  size_t mapped_;  // size_ rounded up to pages
};

}  // namespace wisemerge
