// Reads and writes of shared files that do not come back short.
#pragma once

#include <cstdint>

#include "core/shared_fd.h"

namespace wisemerge {

inline constexpr uint64_t kIoPage = 4096;  // what direct I/O is aligned to

inline constexpr uint64_t whole_pages(uint64_t bytes) { return (bytes + kIoPage - 1) / kIoPage * kIoPage; }

// Zeros from the end of the data to the end of its page; returns the length with them.
uint64_t pad_to_page(uint8_t* data, uint64_t length);

// Bytes [position, position + wanted) must come; up to `length` are asked for, in direct I/O whole pages that
// may reach past the end of the file. Throws FileError ERR_INPUT_CHANGED, ERR_IO.
void read_fully(const SharedFd& file, uint8_t* into, uint64_t position, uint64_t length, uint64_t wanted);

// Throws FileError ERR_NO_SPACE, ERR_IO.
void write_fully(const SharedFd& file, const uint8_t* from, uint64_t length, uint64_t position);

}  // namespace wisemerge
