// The data path of a merge of many models: tensor after tensor, each read ahead of its turn, taken through
// its method and appended to its output file. One thread computes (on the engine, which has threads or a
// device of its own), others read and write.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/engine.h"
#include "core/host_buffer.h"
#include "core/status.h"
#include "core/stoppable.h"
#include "merge/methods.h"
#include "merge/output_sink.h"
#include "merge/tensor_reader.h"

namespace wisemerge {

struct MergeStreamOptions {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<HostBuffer> arena;
  uint64_t chunk_bytes = 0;  // of one input's part of a group; whole pages
};

// Tensors handed over together. `done` is called once, on a thread of the stream.
struct MergeBatch {
  struct Job {
    std::shared_ptr<MergeJob> job;
    bool last = false;  // of its output, whose file is finished with it
  };
  std::vector<Job> jobs;
  std::function<void()> done;
  int32_t cancelled = 0;  // raised by anyone to stop the stream
  // Until `done`: an engine that is closed meanwhile serves the batch first.
  std::optional<Engine::Use> engine;

  // Valid after `done`.
  std::vector<MergeReport> reports;
  std::vector<uint64_t> hashes;    // of the output, where the job was its last
  std::optional<FileError> error;  // the stream's first failure
};

class MergeStream : public Stoppable {
 public:
  // Throws Error ERR_INTERNAL_ARGUMENT where the arena has no room for what is written and a chunk.
  explicit MergeStream(MergeStreamOptions options);
  ~MergeStream() override;
  MergeStream(const MergeStream&) = delete;
  MergeStream& operator=(const MergeStream&) = delete;

  // A file that begins with `header`, shared from now on; past the page cache where `direct`. Returns its
  // number for MergeJob::output. Its jobs must come in file order and leave no gap; outputs one after
  // another.
  uint32_t add_output(int fd, bool direct, std::vector<uint8_t> header);
  // Shares the files of the jobs until they are through. After a failure all batches fail, and a batch that
  // is refused is one: the tensors after it would take its place in their file. Throws Error.
  void submit(std::shared_ptr<MergeBatch> batch);
  // What submit does when it throws, for the caller who could not even make the batch.
  void fail(FileError error);
  void shutdown() override;

 private:
  struct Output {
    std::vector<uint8_t> header;
    uint32_t file;  // of the sink
    bool begun = false;
  };
  struct Entry {
    std::shared_ptr<MergeBatch> batch;
    size_t index;
    std::shared_ptr<const SharedFiles> files;
    std::shared_ptr<TensorSweep> sweep;  // the first, once queued
    bool resident = false;
    bool all_queued = false;  // nothing of it will be read that is not queued
    MergeBatch::Job& job() const { return batch->jobs[index]; }
  };
  void work();
  void run(Entry& entry);
  // All with mutex_ held.
  void enqueue(const std::shared_ptr<MergeBatch>& batch);
  void stop_at(FileError error);
  void read_ahead();
  std::shared_ptr<TensorSweep> make_sweep(const Entry& entry) const;

  const MergeStreamOptions options_;
  TensorReader reader_;
  uint8_t* const out_;
  OutputSink sink_;
  std::mutex mutex_;
  std::condition_variable queued_;
  std::deque<std::shared_ptr<Entry>> queue_;  // the first is under way
  std::deque<Output> outputs_;
  std::optional<FileError> failure_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace wisemerge
