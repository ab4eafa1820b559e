// Writes output files from their first byte to their last, behind the back of whoever makes the bytes: these
// are made in blocks, or copied into them, hashed at once, and written in whole pages by threads of the
// sink's own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/shared_fd.h"
#include "core/xxh3.h"

namespace wisemerge {

class OutputSink {
 public:
  // Blocks of `block_bytes`, whole pages, at `memory`.
  OutputSink(uint8_t* memory, uint64_t bytes, uint64_t block_bytes, unsigned threads);
  ~OutputSink();
  OutputSink(const OutputSink&) = delete;
  OutputSink& operator=(const OutputSink&) = delete;

  // A file to write, past the page cache where `direct` (its last block is padded to whole pages). Shares it
  // until close(). Returns its number.
  uint32_t open(int fd, bool direct);
  // Where the next `length` bytes of a file are to be made, before they are `added`; null where no block has
  // that much room. Waits for a free block. Throws what writing threw before, and ERR_ABORTED once stopped.
  uint8_t* room(uint32_t file, uint64_t length);
  void added(uint32_t file, uint64_t length);
  // Adds a copy to the end of a file. Waits and throws as `room`.
  void append(uint32_t file, const void* data, uint64_t length);
  // Waits until all of it is written, lets go of the file and returns its XXH3.
  uint64_t close(uint32_t file);
  // Fails everything; idempotent.
  void stop();

 private:
  struct File {
    std::unique_ptr<SharedFd> shared;
    bool direct = false;
    Xxh3 hash;
    uint64_t position = 0;     // where `block` goes: a page's beginning
    uint8_t* block = nullptr;  // being filled
    uint64_t filled = 0;
    size_t under_way = 0;  // blocks handed over and not yet written
  };
  struct Write {
    uint32_t file;
    uint8_t* block;
    uint64_t length, position;
    bool direct;
  };
  void work();
  void write(const Write& write, const SharedFd& file);
  uint8_t* free_block();
  // To be written: the block, of which the last part of a page goes into the file's next one, or all of it.
  void next_block(uint32_t index, File& file);
  void hand_over(uint32_t index, File& file, uint64_t length);
  File& find(uint32_t index);
  void check() const;

  const uint64_t block_bytes_;
  std::mutex mutex_;
  std::condition_variable queued_, freed_;
  std::deque<File> files_;  // stays in place while it grows
  std::deque<Write> queue_;
  std::vector<uint8_t*> free_;
  std::exception_ptr failure_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace wisemerge
