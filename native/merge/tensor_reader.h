// Reads tensors ahead of their use into a fixed set of chunks. A group is the same range of elements of all
// inputs of a job, one chunk each; a sweep is one pass over a job's groups in order.
//
// Groups get their chunks in the order in which sweeps are queued. Whoever queues a sweep behind another must
// therefore know that nothing else of the former job will be queued before its chunks are released: else the
// latter's chunks could be all there are.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/host_buffer.h"
#include "merge/file_range.h"
#include "merge/merge_job.h"

namespace wisemerge {

struct TensorGroup {
  uint64_t first = 0, count = 0;
  std::vector<uint8_t*> chunks;   // one per input
  std::vector<const void*> data;  // the first element of each
  size_t unread = 0;              // inputs not yet in memory
};

class TensorSweep {
 public:
  TensorSweep(std::shared_ptr<const MergeJob> job, std::shared_ptr<const SharedFiles> files,
              uint64_t group_elements);

  const MergeJob& job() const { return *job_; }
  size_t size() const { return groups_.size(); }
  // Leaves out the groups of which the first element is not listed (ascending), before the sweep is queued.
  void keep_only(const std::vector<uint64_t>& firsts);

 private:
  friend class TensorReader;
  const std::shared_ptr<const MergeJob> job_;
  const std::shared_ptr<const SharedFiles> files_;
  std::vector<TensorGroup> groups_;
};

class TensorReader {
 public:
  // `memory` is cut into chunks of `chunk_bytes`, whole pages.
  TensorReader(std::shared_ptr<HostBuffer> memory, uint64_t bytes, uint64_t chunk_bytes, unsigned threads);
  ~TensorReader();
  TensorReader(const TensorReader&) = delete;
  TensorReader& operator=(const TensorReader&) = delete;

  uint64_t chunks() const { return chunk_count_; }
  // Elements of a group of this job: whole spans, or whole rows where `rows`.
  uint64_t group_elements(const MergeJob& job, bool rows) const;

  void queue(std::shared_ptr<TensorSweep> sweep);
  // Waits until the group is in memory. Throws what reading threw, and ERR_ABORTED once stopped.
  const TensorGroup& wait(TensorSweep& sweep, size_t group);
  void release(TensorSweep& sweep, size_t group);
  // Fails everything queued and under way; idempotent.
  void stop();

 private:
  struct Place {
    std::shared_ptr<TensorSweep> sweep;
    size_t group = 0, input = 0;
  };
  void work();
  bool take(std::unique_lock<std::mutex>& lock, Place& place);
  void read(const Place& place, std::vector<uint8_t>& scratch);

  const std::shared_ptr<HostBuffer> memory_;
  const uint64_t chunk_bytes_;
  uint64_t chunk_count_;
  std::mutex mutex_;
  std::condition_variable work_, ready_;
  std::vector<uint8_t*> free_;
  std::deque<Place> queue_;  // each sweep's next read
  std::exception_ptr failure_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace wisemerge
