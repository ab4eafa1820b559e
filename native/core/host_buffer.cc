#include "core/host_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "core/status.h"

namespace wisemerge {
namespace {

std::atomic<size_t> g_live_bytes{0};

size_t page_size() {
  static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

[[noreturn]] void throw_out_of_memory(size_t bytes, int error) {
  throw Error("ERR_OUT_OF_MEMORY", "cannot allocate a host buffer of " + std::to_string(bytes) + " bytes: " +
                                       std::strerror(error) + "; lower the memory budget or the chunk size");
}

// Maps `mapped` bytes at a multiple of kAlignment: maps one alignment more and gives the ends back.
uint8_t* map_aligned(size_t bytes, size_t mapped) {
  const size_t reserved = mapped + HostBuffer::kAlignment;
  void* address = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw_out_of_memory(bytes, errno);
  uint8_t* const begin = static_cast<uint8_t*>(address);
  const size_t head = (HostBuffer::kAlignment - reinterpret_cast<uintptr_t>(begin) % HostBuffer::kAlignment) %
                      HostBuffer::kAlignment;
  if (head) munmap(begin, head);
  if (const size_t tail = reserved - head - mapped) munmap(begin + head + mapped, tail);
  return begin + head;
}

}  // namespace

std::shared_ptr<HostBuffer> HostBuffer::allocate(size_t bytes) {
  if (bytes == 0) throw Error("ERR_INTERNAL_RANGE", "a host buffer needs at least 1 byte");
  if (bytes > SIZE_MAX / 2) throw_out_of_memory(bytes, ENOMEM);
  const size_t mapped = round_up(bytes, page_size());
  uint8_t* const data = map_aligned(bytes, mapped);
#if defined(MADV_HUGEPAGE)
  // A hint: kernels without transparent huge pages refuse it, and ordinary pages do.
  if (mapped >= kAlignment) madvise(data, mapped, MADV_HUGEPAGE);
#endif
  return std::shared_ptr<HostBuffer>(new HostBuffer(data, bytes, mapped));
}

HostBuffer::HostBuffer(uint8_t* data, size_t size, size_t mapped)
    : data_(data), size_(size), mapped_(mapped) {
  g_live_bytes += size_;
}

HostBuffer::~HostBuffer() {
  munmap(data_, mapped_);
  g_live_bytes -= size_;
}

size_t HostBuffer::live_bytes() { return g_live_bytes; }

}  // namespace wisemerge
