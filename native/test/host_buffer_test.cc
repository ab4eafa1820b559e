#include "core/host_buffer.h"

#include <unistd.h>

#include "check.h"
#include "core/status.h"

using namespace wisemerge;

TEST("host buffer: aligned, zero, writable to the last byte") {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (const size_t bytes :
       {size_t{1}, page, page + 1, HostBuffer::kAlignment, HostBuffer::kAlignment * 3 + 5}) {
    const auto buffer = HostBuffer::allocate(bytes);
    CHECK_EQ(buffer->size(), bytes);
    CHECK_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % HostBuffer::kAlignment, 0u);
    bool zero = true;
    for (size_t i = 0; i < bytes; i++) zero &= buffer->data()[i] == 0;
    CHECK(zero);
    buffer->data()[0] = buffer->data()[bytes - 1] = 7;
  }
}

TEST("host buffer: live bytes follow allocation and release") {
  const size_t before = HostBuffer::live_bytes();
  auto buffer = HostBuffer::allocate(12345);
  const auto second = buffer;
  CHECK_EQ(HostBuffer::live_bytes(), before + 12345);
  buffer.reset();
  CHECK_EQ(HostBuffer::live_bytes(), before + 12345);
}

TEST("host buffer: what cannot be had is an error") {
  const auto code_of = [](size_t bytes) -> std::string {
    try {
      HostBuffer::allocate(bytes);
      return "allocated";
    } catch (const Error& error) {
      return error.code();
    }
  };
  CHECK_EQ(code_of(0), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code_of(SIZE_MAX), "ERR_OUT_OF_MEMORY");
  CHECK_EQ(code_of(size_t{1} << 50), "ERR_OUT_OF_MEMORY");
}
