// What one thread of a stream (core/block_stream.h) does: it takes blocks into its slots of memory, reads
// them, computes one after another and writes them.
#pragma once

#include <memory>
#include <vector>

#include "core/block_stream.h"
#include "core/file_queue.h"

namespace wisemerge {

class BlockStream::Lane {
 public:
  Lane(BlockStream& stream, std::unique_ptr<FileQueue> files, const std::vector<uint8_t*>& slots);

  // Until the stream is closed.
  void run();

 private:
  struct Slot {
    uint8_t* memory;
    std::shared_ptr<BlockBatch> batch{};
    const Block* block = nullptr;
    std::vector<FileRequest> requests{};
    size_t under_way = 0;
    bool computed = false;  // or failed before it was
    bool failed = false;
  };

  // Gives free slots the next blocks, waiting for one while there is nothing else to do. False: the stream is
  // closed.
  bool take();
  void begin_reads(size_t slot);
  // And begins to write.
  void compute(size_t slot);
  void start(size_t slot);  // its requests
  // The slot is free again, unless something is under way.
  void leave(size_t slot);
  // What fails a block fails the stream. The block has nothing more to do then than to wait for its requests.
  template <class Step>
  void attempt(Slot& slot, const Step& step);

  BlockStream& stream_;
  const std::unique_ptr<FileQueue> files_;
  std::vector<Slot> slots_;
  // Whatever came first is first. Blocks are computed in the order in which they were taken: those of one
  // file wait for each other. With room for all slots from the start, as nothing may fail where they are
  // kept.
  std::vector<size_t> free_, reading_;
};

}  // namespace wisemerge
