#include "merge/tensor_reader.h"

#include <algorithm>

#include "core/start_threads.h"
#include "core/status.h"
#include "merge/low_rank.h"
#include "merge/row_gather.h"
#include "wisemerge/merge.h"

namespace wisemerge {
namespace {

uint64_t loaded_size(const MergeInput& input) { return item_size(loaded_dtype(input)); }

}  // namespace

TensorSweep::TensorSweep(std::shared_ptr<const MergeJob> job, std::shared_ptr<const SharedFiles> files,
                         uint64_t group_elements)
    : job_(std::move(job)), files_(std::move(files)) {
  for (uint64_t first = 0; first < job_->count; first += group_elements) {
    TensorGroup group;
    group.first = first;
    group.count = std::min(group_elements, job_->count - first);
    groups_.push_back(std::move(group));
  }
}

void TensorSweep::keep_only(const std::vector<uint64_t>& firsts) {
  std::erase_if(groups_, [&](const TensorGroup& group) {
    return !std::binary_search(firsts.begin(), firsts.end(), group.first);
  });
}

TensorReader::TensorReader(std::shared_ptr<HostBuffer> memory, uint64_t bytes, uint64_t chunk_bytes,
                           unsigned threads)
    : memory_(std::move(memory)), chunk_bytes_(chunk_bytes), chunk_count_(bytes / chunk_bytes) {
  for (uint64_t i = chunk_count_; i-- > 0;) free_.push_back(memory_->data() + i * chunk_bytes_);
  threads_ = start_threads(threads, [this](unsigned) { work(); });
}

TensorReader::~TensorReader() {
  stop();
  for (std::thread& thread : threads_) thread.join();
}

uint64_t TensorReader::group_elements(const MergeJob& job, bool rows) const {
  // The output of a group has the room of a chunk as well.
  uint64_t widest = item_size(job.out_dtype);
  for (const MergeInput& input : job.inputs) widest = std::max(widest, loaded_size(input));
  const uint64_t unit = rows ? std::max<uint64_t>(job.row, 1) : kMergeSpan;
  const uint64_t room = (chunk_bytes_ - kReadSlack) / widest / unit * unit;
  if (room == 0 && job.count * widest <= chunk_bytes_ - kReadSlack) return std::max<uint64_t>(job.count, 1);
  if (room == 0) {
    throw Error("ERR_MEMORY", job.name + ": a row of " + std::to_string(job.row * widest) +
                                  " bytes does not fit a chunk of " + std::to_string(chunk_bytes_));
  }
  return room;
}

void TensorReader::queue(std::shared_ptr<TensorSweep> sweep) {
  if (sweep->size() == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back({std::move(sweep), 0, 0});
  work_.notify_all();
}

const TensorGroup& TensorReader::wait(TensorSweep& sweep, size_t index) {
  std::unique_lock<std::mutex> lock(mutex_);
  TensorGroup& group = sweep.groups_[index];
  ready_.wait(lock, [&] { return failure_ || stopping_ || (!group.chunks.empty() && group.unread == 0); });
  if (failure_) std::rethrow_exception(failure_);
  if (stopping_) throw Error("ERR_ABORTED", "the merge was stopped");
  return group;
}

void TensorReader::release(TensorSweep& sweep, size_t index) {
  std::lock_guard<std::mutex> lock(mutex_);
  TensorGroup& group = sweep.groups_[index];
  free_.insert(free_.end(), group.chunks.begin(), group.chunks.end());
  group.chunks.clear();
  group.data.clear();
  work_.notify_all();
}

void TensorReader::stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  stopping_ = true;
  queue_.clear();
  work_.notify_all();
  ready_.notify_all();
}

// The next read in order, once its group has chunks.
bool TensorReader::take(std::unique_lock<std::mutex>& lock, Place& place) {
  const auto possible = [this] {
    if (stopping_ || failure_) return true;
    if (queue_.empty()) return false;
    const Place& next = queue_.front();
    return next.input > 0 || free_.size() >= next.sweep->job().inputs.size();
  };
  work_.wait(lock, possible);
  if (stopping_ || failure_) return false;
  Place& next = queue_.front();
  TensorGroup& group = next.sweep->groups_[next.group];
  const size_t inputs = next.sweep->job().inputs.size();
  if (next.input == 0) {
    group.chunks.assign(free_.end() - static_cast<ptrdiff_t>(inputs), free_.end());
    free_.resize(free_.size() - inputs);
    group.data.assign(inputs, nullptr);
    group.unread = inputs;
  }
  place = next;
  if (++next.input == inputs) {
    next.input = 0;
    if (++next.group == next.sweep->size()) queue_.pop_front();
  }
  return true;
}

void TensorReader::work() {
  std::vector<uint8_t> scratch;
  std::unique_lock<std::mutex> lock(mutex_);
  for (Place place; take(lock, place);) {
    lock.unlock();
    std::exception_ptr failure;
    try {
      read(place, scratch);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure && !failure_) failure_ = failure;
    if (failure) work_.notify_all();
    if (--place.sweep->groups_[place.group].unread == 0 || failure) ready_.notify_all();
    place.sweep.reset();
  }
}

void TensorReader::read(const Place& place, std::vector<uint8_t>& scratch) {
  TensorGroup& group = place.sweep->groups_[place.group];
  const MergeInput& input = place.sweep->job().inputs[place.input];
  const SharedFiles& files = *place.sweep->files_;
  uint8_t* const chunk = group.chunks[place.input];
  group.data[place.input] = chunk;
  if (input.gather) return input.gather->read(files, group.first, group.count, chunk, scratch);
  const uint64_t item = item_size(input.dtype), bytes = group.count * item;
  const uint64_t position = input.position + group.first * item;
  if (!input.addend) {
    group.data[place.input] = read_range(files, input.file, position, bytes, item, chunk);
    return;
  }
  // Read aside and widened into the chunk.
  scratch.resize(bytes + kReadSlack + kReadPage);
  uint8_t* const room = scratch.data() + (0 - reinterpret_cast<uintptr_t>(scratch.data())) % kReadPage;
  const uint8_t* const data = read_range(files, input.file, position, bytes, item, room);
  add_low_rank(*input.addend, input.dtype, data, group.first, group.count, chunk);
}

}  // namespace wisemerge
