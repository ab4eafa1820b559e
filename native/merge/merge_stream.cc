#include "merge/merge_stream.h"

#include <algorithm>
#include <utility>

#include "core/start_threads.h"
#include "merge/row_gather.h"

namespace wisemerge {
namespace {

// Reads under way at once: as many as keep a disk busy.
constexpr unsigned kReaders = 4;
constexpr unsigned kWriters = 2;
constexpr uint64_t kSinkBlock = 2u << 20, kSinkBlocks = 4;
// Tensors whose reading may begin before their turn. Memory limits it too; this is for many small ones.
constexpr size_t kAhead = 24;

void share(const MergeFile& file, SharedFiles& files) {
  for (const int fd : {file.fd, file.direct_fd}) {
    if (fd >= 0 && files.count(fd) == 0) files.emplace(fd, SharedFd(fd));
  }
}

uint64_t sink_bytes() { return kSinkBlock * kSinkBlocks; }

// Before any part is made of them.
MergeStreamOptions checked(MergeStreamOptions options) {
  const uint64_t chunk = options.chunk_bytes, all = options.arena->size();
  if (chunk <= kReadSlack || chunk % kReadPage != 0) {
    throw Error("ERR_INTERNAL_ARGUMENT", "a chunk of " + std::to_string(chunk) +
                                             " bytes is not whole pages, or too small to read into");
  }
  if (all < sink_bytes() || chunk > all - sink_bytes()) {
    throw Error("ERR_INTERNAL_ARGUMENT", "an arena of " + std::to_string(all) +
                                             " bytes has no room for a chunk of " + std::to_string(chunk) +
                                             " and " + std::to_string(sink_bytes()) + " to be written");
  }
  return options;
}

// Whole pages, so that what lies behind it is aligned too.
uint64_t chunk_area(const MergeStreamOptions& options) {
  return (options.arena->size() - sink_bytes() - options.chunk_bytes) / kReadPage * kReadPage;
}

}  // namespace

MergeStream::MergeStream(MergeStreamOptions options)
    : options_(checked(std::move(options))),
      reader_(options_.arena, chunk_area(options_), options_.chunk_bytes, kReaders),
      out_(options_.arena->data() + chunk_area(options_)),
      sink_(out_ + options_.chunk_bytes, sink_bytes(), kSinkBlock, kWriters) {
  thread_ = start_thread([this] { work(); });
}

MergeStream::~MergeStream() { shutdown(); }

void MergeStream::shutdown() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    if (!queue_.empty() && !failure_) failure_ = Error("ERR_ABORTED", "the stream was closed");
    queued_.notify_all();
  }
  reader_.stop();
  sink_.stop();
  if (thread_.joinable()) thread_.join();
}

uint32_t MergeStream::add_output(int fd, bool direct, std::vector<uint8_t> header) {
  const uint32_t file = sink_.open(fd, direct);
  std::lock_guard<std::mutex> lock(mutex_);
  outputs_.push_back({std::move(header), file});
  return static_cast<uint32_t>(outputs_.size() - 1);
}

void MergeStream::submit(std::shared_ptr<MergeBatch> batch) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) throw Error("ERR_ABORTED", "the stream is closed");
  try {
    enqueue(batch);
  } catch (...) {
    std::erase_if(queue_, [&](const std::shared_ptr<Entry>& entry) { return entry->batch == batch; });
    stop_at(current_error());
    throw;
  }
}

void MergeStream::fail(FileError error) {
  std::lock_guard<std::mutex> lock(mutex_);
  stop_at(std::move(error));
}

void MergeStream::stop_at(FileError error) {
  if (!failure_) failure_ = std::move(error);
  reader_.stop();
  sink_.stop();
}

void MergeStream::enqueue(const std::shared_ptr<MergeBatch>& batch) {
  if (batch->jobs.empty()) throw Error("ERR_INTERNAL_ARGUMENT", "a batch needs a job");
  auto files = std::make_shared<SharedFiles>();
  for (const MergeBatch::Job& job : batch->jobs) {
    const MergeMethod& method = merge_methods().at(job.job->method);
    if (job.job->output >= outputs_.size()) throw Error("ERR_INTERNAL_RANGE", "there is no such output");
    if (job.job->inputs.size() > reader_.chunks()) {
      throw Error("ERR_MEMORY", job.job->name + ": " + std::to_string(job.job->inputs.size()) +
                                    " inputs need as many chunks; there are " +
                                    std::to_string(reader_.chunks()));
    }
    reader_.group_elements(*job.job, method.rows);
    for (const auto* inputs : {&job.job->inputs, &job.job->statistics}) {
      for (const MergeInput& input : *inputs) {
        share(input.file, *files);
        if (!input.gather) continue;
        for (const RowTable& table : input.gather->tables()) share(table.file, *files);
      }
    }
  }
  batch->engine.emplace(options_.engine);
  batch->reports.resize(batch->jobs.size());
  batch->hashes.resize(batch->jobs.size());
  for (size_t i = 0; i < batch->jobs.size(); i++) {
    queue_.push_back(std::make_shared<Entry>(Entry{batch, i, files, nullptr, false, false}));
  }
  read_ahead();
  queued_.notify_all();
}

std::shared_ptr<TensorSweep> MergeStream::make_sweep(const Entry& entry) const {
  const std::shared_ptr<MergeJob>& job = entry.job().job;
  const bool rows = merge_methods()[job->method].rows;
  return std::make_shared<TensorSweep>(job, entry.files, reader_.group_elements(*job, rows));
}

// Queues the first sweep of what comes next, as far as nothing before it may still want chunks.
void MergeStream::read_ahead() {
  if (failure_) return;
  for (size_t i = 0; i < std::min(queue_.size(), kAhead); i++) {
    Entry& entry = *queue_[i];
    if (!entry.sweep) {
      entry.sweep = make_sweep(entry);
      entry.resident = entry.sweep->size() * entry.job().job->inputs.size() <= reader_.chunks();
      entry.all_queued = entry.resident;
      reader_.queue(entry.sweep);
    }
    if (!entry.all_queued) return;
  }
}

void MergeStream::work() {
  for (;;) {
    std::shared_ptr<Entry> entry;
    bool failed;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      queued_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      entry = queue_.front();
      failed = failure_.has_value();
    }
    if (!failed) {
      try {
        run(*entry);
      } catch (...) {
        fail(current_error());
      }
    }
    bool over;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      queue_.pop_front();
      over = entry->index + 1 == entry->batch->jobs.size();
      if (over) entry->batch->error = failure_;
      read_ahead();
    }
    const std::shared_ptr<MergeBatch> batch = entry->batch;
    entry.reset();
    if (!over) continue;
    batch->engine.reset();
    batch->done();
  }
}

void MergeStream::run(Entry& entry) {
  MergeBatch& batch = *entry.batch;
  if (__atomic_load_n(&batch.cancelled, __ATOMIC_RELAXED))
    throw Error("ERR_ABORTED", "the merge was aborted");
  const MergeJob& job = *entry.job().job;
  Output* output;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    output = &outputs_[job.output];
  }
  if (!output->begun) {
    output->begun = true;
    sink_.append(output->file, output->header.data(), output->header.size());
    output->header = {};
  }
  const auto last_sweep = [&] {
    std::lock_guard<std::mutex> lock(mutex_);
    entry.all_queued = true;
    read_ahead();
  };
  TensorRun tensor(
      job, entry.sweep, entry.resident, [&] { return make_sweep(entry); },
      {*options_.engine, reader_, sink_, *entry.files, output->file, out_, &batch.cancelled, last_sweep});
  try {
    merge_methods()[job.method].run(tensor);
  } catch (const FileError&) {
    throw;
  } catch (const Error& error) {
    if (error.code() != "ERR_MERGE") throw;
    throw Error(error.code(), job.name + ": " + error.what());
  }
  batch.reports[entry.index] = tensor.report;
  if (entry.job().last) batch.hashes[entry.index] = sink_.close(output->file);
}

}  // namespace wisemerge
