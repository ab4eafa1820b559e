// The data path of a run: blocks go from files through a ring of memory to files. Each is read, computed,
// hashed and written by one thread; reads and writes of several blocks overlap. The blocks of a file are
// computed and hashed one after another, each in pieces that are hashed while they are in the cache. Bytes
// from and to memory are most of what a merge costs the processor: where it can, an output is written over
// the input it was made of, which is in the cache too.
//
// There is one thread for all blocks where the system reads and writes while it computes (core/file_queue.h),
// elsewhere one for each slot of the ring. They are the stream's own: libuv's four also serve the program's
// other files, DNS and zlib.
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

#include "core/block.h"
#include "core/engine.h"
#include "core/host_buffer.h"
#include "core/shared_fd.h"
#include "core/status.h"
#include "core/stoppable.h"
#include "core/stream_work.h"
#include "core/xxh3.h"
#include "wisemerge/compare.h"

namespace wisemerge {

// Work handed over together, and what came of it. `done` is called once, on a thread of the stream.
struct BlockBatch {
  StreamWork work;
  std::function<void()> done;
  int32_t cancelled = 0;  // raised by BlockStream::cancel

  // Valid after `done`, of all segments in order.
  std::vector<uint64_t> non_finite;  // [segment][alpha]: elements of the output
  std::vector<CompareSums> sums;     // [segment][span]
  // The first failure of the stream, if it failed before this batch was through.
  std::optional<FileError> error;

 private:
  friend class BlockStream;
  const SharedFd& file(const BlockRead& read) const { return *files_[2 * read.file + read.direct]; }

  std::vector<Block> blocks_;
  std::vector<std::optional<SharedFd>> files_;  // [file][cached, direct]: those of all reads
  std::vector<Engine::Use> engines_;  // all; an engine that is closed meanwhile serves the batch first
  size_t next_ = 0;                   // the first block nobody has taken
  size_t left_ = 0;                   // blocks not yet through
};

struct BlockStreamOptions {
  // As many slots of `shape` as fit into it.
  std::shared_ptr<HostBuffer> arena;
  SlotShape shape;
  // How many blocks compute at once. An engine serves one thread at a time, any of them.
  std::vector<std::shared_ptr<Engine>> engines;
  // Bytes of output computed and hashed at a time.
  uint64_t piece_bytes = 256 << 10;
  // Whether outputs may be written over inputs.
  bool in_place = true;
  // For tests: one thread for all blocks whatever the file system.
  bool any_file_system = false;
  // [set][out]: every segment is interpolated at the alphas of one set, so that tensors may have their own.
  std::vector<double> alphas;
};

class BlockStream : public Stoppable {
 public:
  explicit BlockStream(BlockStreamOptions options);
  ~BlockStream() override;
  BlockStream(const BlockStream&) = delete;
  BlockStream& operator=(const BlockStream&) = delete;

  // A file per output of a block, written alike: `fds[k]`, past the page cache (whole pages, so that the last
  // block is padded) where direct[k]. Each begins with `header`. Returns its number for StreamWork::output.
  // Shares the files until finish_output.
  uint32_t add_output(const std::vector<int>& fds, std::vector<bool> direct, std::vector<uint8_t> header);

  // Blocks start in the order in which they come; the ranges of one output must come in file order, without
  // gaps.
  // Throws Error ERR_INTERNAL_RANGE when there is a gap, or no such output or alphas. After a failure all
  // batches fail, and a batch that is refused is one: what comes after it would wait for its blocks.
  void submit(std::shared_ptr<BlockBatch> batch);

  // Stops the stream at this batch. From any thread.
  void cancel(BlockBatch& batch);

  // Lets go of the files of an output, all of whose blocks are through, and returns the XXH3 of each.
  std::vector<uint64_t> finish_output(uint32_t output);

  void shutdown() override;

  const SlotShape& shape() const { return options_.shape; }
  // How many it has, once it has been given work.
  size_t threads() const { return threads_.size(); }

 private:
  class EngineLease;
  class Lane;
  struct Output {
    std::vector<SharedFd> files;
    std::vector<bool> direct;
    std::vector<uint8_t> header;
    std::vector<Xxh3> hashes;
    // Bytes of each file. Guarded by mutex_, and so is whose turn it is.
    uint64_t submitted = 0, produced = 0;
  };

  void check(const StreamWork& work);  // with mutex_ held
  void share_files(BlockBatch& batch) const;
  // For the results, and for outputs where their inputs lie.
  void make_room(BlockBatch& batch) const;
  void enqueue(std::shared_ptr<BlockBatch> batch);  // with mutex_ held
  void start_lanes(const BlockBatch& first);        // with mutex_ held
  bool leaves_thread_free(const BlockBatch& batch) const;

  // What lanes do with blocks, each of which is taken once and left once.
  struct Taken {
    std::shared_ptr<BlockBatch> batch;
    size_t index;
  };
  std::optional<Taken> take(bool waits);  // nothing: there is none, or, if it waits, never will be
  Output& output_of(const Block& block);
  void compare(BlockBatch& batch, const Block& block, uint8_t* slot);
  // Makes and hashes what the block writes.
  void produce(BlockBatch& batch, const Block& block, Output& output, uint8_t* slot);
  void leave(const std::shared_ptr<BlockBatch>& batch);
  void fail(FileError error);
  void fail_locked(FileError error);  // with mutex_ held
  // If the stream has failed, or the batch is cancelled.
  void throw_if_over(const BlockBatch& batch) const;

  const BlockStreamOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable queued_, turned_, freed_;
  std::deque<std::shared_ptr<BlockBatch>> queue_;
  std::deque<Output> outputs_;  // stays in place while it grows
  std::vector<std::shared_ptr<Engine>> idle_engines_;
  std::optional<FileError> failure_;
  size_t unfinished_ = 0;  // batches
  bool stopping_ = false;
  // Started by the first batch.
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::thread> threads_;
};

}  // namespace wisemerge
