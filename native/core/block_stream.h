// The data path of a run: blocks go from files through a ring of memory to files, each by one thread that
// reads its inputs, computes, hashes and writes. Reads and writes of several blocks overlap; the blocks of a
// file are computed and hashed one after another, each in pieces that are hashed while they are in the cache.
// Bytes from and to memory are most of what a merge costs the processor: where it can, an output is written
// over the input it was made of, which is in the cache too.
//
// The threads are the stream's own: libuv's four also serve the program's other files, DNS and zlib.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/engine.h"
#include "core/file_io.h"
#include "core/host_buffer.h"
#include "core/segments.h"
#include "core/shared_fd.h"
#include "core/status.h"
#include "core/stoppable.h"
#include "core/xxh3.h"
#include "wisemerge/compare.h"

namespace wisemerge {

// All offsets are bytes from the start of the slot that a block gets.
struct BlockRead {
  int fd;  // of the caller; the stream shares it while the batch is under way
  uint64_t position;
  uint64_t length;  // asked for: whole pages in direct I/O, which may reach past the end of the file
  uint64_t wanted;  // must come, or the file has become shorter
  uint64_t at;
};

struct BlockCopy {
  uint64_t from, to, length;
};

struct Block {
  std::vector<BlockRead> reads;
  std::vector<BlockCopy> copies;
  LerpSegments lerp;                    // of a lerp stream
  std::vector<CompareSegment> compare;  // of a compare stream
  uint32_t output = 0;                  // of a lerp stream: which set of files
  uint64_t position = 0, length = 0;    // in each of its files
  std::vector<uint64_t> outs;           // set by submit: where the outputs begin
};

// Blocks handed over together, and what came of them. `done` is called once, on a thread of the stream.
struct BlockBatch {
  std::vector<Block> blocks;
  std::function<void()> done;
  int32_t cancelled = 0;  // raised by BlockStream::cancel

  // Valid after `done`. One entry per block, as lerp_arena and compare_arena return them.
  std::vector<std::vector<uint64_t>> non_finite;
  std::vector<std::vector<CompareSums>> sums;
  // The first failure of the stream, if it failed before this batch was through.
  std::optional<FileError> error;

 private:
  friend class BlockStream;
  const SharedFd& file(int fd) const;

  std::vector<SharedFd> files_;       // those of all reads
  std::vector<Engine::Use> engines_;  // all; an engine that is closed meanwhile serves the batch first
  size_t next_ = 0;                   // the first block nobody has taken
  size_t left_ = 0;                   // blocks not yet through
};

struct BlockStreamOptions {
  // As many slots, and threads, as fit into it.
  std::shared_ptr<HostBuffer> arena;
  uint64_t slot_bytes = 0;
  // How many blocks compute at once. An engine serves one thread at a time, any of them.
  std::vector<std::shared_ptr<Engine>> engines;
  // Of a lerp stream: the outputs of a block lie at these offsets of its slot, each with room up to the next
  // multiple of kPage.
  std::vector<uint64_t> outs;
  // Bytes of output computed and hashed at a time.
  uint64_t piece_bytes = 256 << 10;
  // Whether outputs may be written over inputs.
  bool in_place = true;
  // [set][out]: every segment is interpolated at the alphas of one set, so that tensors may have their own.
  std::vector<double> alphas;
};

class BlockStream : public Stoppable {
 public:
  static constexpr uint64_t kPage = kIoPage;

  explicit BlockStream(BlockStreamOptions options);
  ~BlockStream() override;
  BlockStream(const BlockStream&) = delete;
  BlockStream& operator=(const BlockStream&) = delete;

  // A file per output of a block, written alike: `fds[k]`, past the page cache (whole pages, so that the last
  // block is padded) where direct[k]. Each begins with `header`. Returns its number for Block::output. Shares
  // the files until finish_output.
  uint32_t add_output(const std::vector<int>& fds, std::vector<bool> direct, std::vector<uint8_t> header);

  // Blocks start in the order in which they come; those of one output must come in file order, without gaps,
  // and so must the segments of a block.
  // Throws Error ERR_INTERNAL_RANGE when a block leaves its slot or a gap. After a failure all batches fail,
  // and a batch that is refused is one: what comes after it would wait for its blocks.
  void submit(std::shared_ptr<BlockBatch> batch);

  // Stops the stream at this batch. From any thread.
  void cancel(BlockBatch& batch);

  // Lets go of the files of an output, all of whose blocks are through, and returns the XXH3 of each.
  std::vector<uint64_t> finish_output(uint32_t output);

  void shutdown() override;

  uint64_t slot_bytes() const { return options_.slot_bytes; }

 private:
  class EngineLease;
  struct Output {
    std::vector<SharedFd> files;
    std::vector<bool> direct;
    std::vector<uint8_t> header;
    std::vector<Xxh3> hashes;
    // Bytes of each file. Guarded by mutex_, and so is whose turn it is.
    uint64_t submitted = 0, produced = 0;
  };

  void check(const Block& block) const;
  void place(Block& block) const;
  void enqueue(std::shared_ptr<BlockBatch> batch);  // with mutex_ held
  void work(uint8_t* slot);
  void run(BlockBatch& batch, size_t index, uint8_t* slot);
  Output& output_of(const Block& block);
  // Makes and hashes what the block writes.
  void produce(BlockBatch& batch, size_t index, Output& output, uint8_t* slot);
  void write(const Block& block, const Output& output, uint8_t* slot);
  void fail(FileError error);  // with mutex_ held
  void throw_if_failed() const;

  const BlockStreamOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable queued_, turned_, freed_;
  std::deque<std::shared_ptr<BlockBatch>> queue_;
  std::deque<Output> outputs_;  // stays in place while it grows
  std::vector<std::shared_ptr<Engine>> idle_engines_;
  std::optional<FileError> failure_;
  size_t unfinished_ = 0;  // batches
  bool stopping_ = false;
  std::vector<std::thread> threads_;  // started by the first batch
};

}  // namespace wisemerge
