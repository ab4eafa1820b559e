#include "core/block_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/arena_compute.h"
#include "core/block_cutter.h"
#include "core/block_lane.h"
#include "core/block_pieces.h"
#include "core/start_threads.h"

namespace wisemerge {
namespace {

bool raised(const BlockBatch& batch) { return __atomic_load_n(&batch.cancelled, __ATOMIC_RELAXED) != 0; }

}  // namespace

// One of the stream's engines, for as long as it lives.
class BlockStream::EngineLease {
 public:
  explicit EngineLease(BlockStream& stream) : stream_(stream) {
    std::unique_lock<std::mutex> lock(stream.mutex_);
    stream.freed_.wait(lock, [&] { return !stream.idle_engines_.empty(); });
    engine_ = std::move(stream.idle_engines_.back());
    stream.idle_engines_.pop_back();
  }
  ~EngineLease() {
    std::lock_guard<std::mutex> lock(stream_.mutex_);
    stream_.idle_engines_.push_back(std::move(engine_));
    stream_.freed_.notify_all();  // all: glibc before 2.41 can lose a signal to one (its bug 25847)
  }
  EngineLease(const EngineLease&) = delete;
  EngineLease& operator=(const EngineLease&) = delete;
  Engine& operator*() const { return *engine_; }

 private:
  BlockStream& stream_;
  std::shared_ptr<Engine> engine_;
};

BlockStream::BlockStream(BlockStreamOptions options)
    : options_(std::move(options)), idle_engines_(options_.engines) {
  const SlotShape& shape = options_.shape;
  const uint64_t arena = options_.arena->size(), block = whole_pages(std::max<uint64_t>(shape.block, 1));
  if (shape.x > arena || shape.y > arena || shape.block > arena || shape.outputs > arena / block ||
      shape.bytes() > arena || (shape.x | shape.y | shape.block) % kIoPage || shape.bytes() == 0 ||
      (shape.outputs > 0 && shape.block == 0)) {
    throw Error("ERR_INTERNAL_ARGUMENT",
                "a slot of regions of " + std::to_string(shape.x) + " and " + std::to_string(shape.y) +
                    " bytes and " + std::to_string(shape.outputs) + " outputs of " +
                    std::to_string(shape.block) + " is no part of the arena in whole pages");
  }
  const size_t outs = shape.outputs, alphas = options_.alphas.size();
  if ((outs == 0) != (alphas == 0) || (outs > 0 && alphas % outs != 0)) {
    throw Error("ERR_INTERNAL_ARGUMENT", "every set of alphas needs one for each output");
  }
}

BlockStream::~BlockStream() { shutdown(); }

uint32_t BlockStream::add_output(const std::vector<int>& fds, std::vector<bool> direct,
                                 std::vector<uint8_t> header) {
  if (fds.size() != options_.shape.outputs || direct.size() != fds.size()) {
    throw Error("ERR_INTERNAL_ARGUMENT", "an output needs a file for each region");
  }
  std::vector<SharedFd> files;
  for (const int fd : fds) files.emplace_back(fd);
  std::lock_guard<std::mutex> lock(mutex_);
  outputs_.push_back(
      {std::move(files), std::move(direct), std::move(header), std::vector<Xxh3>(fds.size()), 0});
  return static_cast<uint32_t>(outputs_.size() - 1);
}

void BlockStream::check(const StreamWork& work) {
  if (options_.shape.outputs == 0) return;
  const size_t sets = options_.alphas.size() / options_.shape.outputs;
  for (const StreamSegment& segment : work.segments) {
    if (segment.alpha_set >= sets) {
      throw Error("ERR_INTERNAL_RANGE", "there are no alphas " + std::to_string(segment.alpha_set));
    }
  }
  if (work.output >= outputs_.size()) {
    throw Error("ERR_INTERNAL_RANGE", "there is no output " + std::to_string(work.output));
  }
  // Whoever fills a gap would have to come later, and this range would wait for it.
  uint64_t& submitted = outputs_[work.output].submitted;
  if (!failure_ && work.position != submitted) {
    throw Error("ERR_INTERNAL_RANGE", "a range at byte " + std::to_string(work.position) +
                                          " of an output that has " + std::to_string(submitted) +
                                          " bytes so far");
  }
  submitted += work.length;
}

void BlockStream::share_files(BlockBatch& batch) const {
  batch.files_.resize(2 * batch.work.files.size());
  for (const Block& block : batch.blocks_) {
    for (const BlockRead& read : block.reads) {
      std::optional<SharedFd>& file = batch.files_[2 * read.file + read.direct];
      const StreamFile& of = batch.work.files[read.file];
      if (!file) file.emplace(read.direct ? of.direct : of.cached);
    }
  }
}

void BlockStream::make_room(BlockBatch& batch) const {
  const std::vector<StreamSegment>& segments = batch.work.segments;
  batch.non_finite.resize(segments.size() * options_.shape.outputs);
  if (options_.shape.outputs > 0) {
    for (Block& block : batch.blocks_) {
      if (options_.in_place) block.outs[0] = place_over_x(block.lerp, block.outs[0], block.length);
    }
    return;
  }
  size_t spans = 0;
  for (const StreamSegment& segment : segments) spans += spans_of(segment.count);
  batch.sums.resize(spans);
}

void BlockStream::submit(std::shared_ptr<BlockBatch> batch) {
  try {
    batch->blocks_ = cut_blocks(batch->work, options_.shape);
    if (batch->blocks_.empty()) throw Error("ERR_INTERNAL_ARGUMENT", "a batch needs a block");
    share_files(*batch);
    make_room(*batch);
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) throw Error("ERR_ABORTED", "the stream is closed");
    enqueue(std::move(batch));
  } catch (...) {
    fail(current_error());
    throw;
  }
}

void BlockStream::enqueue(std::shared_ptr<BlockBatch> batch) {
  check(batch->work);
  if (threads_.empty()) start_lanes(*batch);
  for (const std::shared_ptr<Engine>& engine : options_.engines) batch->engines_.emplace_back(engine);
  batch->left_ = batch->blocks_.size();
  queue_.push_back(std::move(batch));
  unfinished_++;
  queued_.notify_all();
}

void BlockStream::start_lanes(const BlockBatch& first) {
  const uint64_t bytes = options_.shape.bytes();
  std::vector<uint8_t*> slots;
  for (uint64_t at = 0; options_.arena->size() - at >= bytes; at += bytes) {
    slots.push_back(options_.arena->data() + at);
  }
  std::vector<std::unique_ptr<Lane>> lanes;
  if (std::unique_ptr<FileQueue> files = leaves_thread_free(first) ? FileQueue::asynchronous() : nullptr) {
    lanes.push_back(std::make_unique<Lane>(*this, std::move(files), slots));
  } else {
    for (uint8_t* const slot : slots) {
      lanes.push_back(std::make_unique<Lane>(*this, std::make_unique<FileQueue>(), std::vector{slot}));
    }
  }
  lanes_ = std::move(lanes);
  threads_ = start_threads(static_cast<unsigned>(lanes_.size()), [this](unsigned i) { lanes_[i]->run(); });
}

// Going by the first files: requests on later ones of another kind are carried out one after another.
// Comparing has a thread for each slot, so that several blocks are computed at once.
bool BlockStream::leaves_thread_free(const BlockBatch& batch) const {
  if (options_.shape.outputs == 0) return false;
  const auto free = [this](bool direct, const SharedFd& file) {
    return direct && (options_.any_file_system || FileQueue::leaves_thread_free(file.get()));
  };
  const Output& output = outputs_[batch.work.output];
  for (size_t k = 0; k < output.files.size(); k++) {
    if (!free(output.direct[k], output.files[k])) return false;
  }
  for (size_t i = 0; i < batch.files_.size(); i++) {
    const bool direct = i % 2 == 1;
    if (batch.files_[i] && !free(direct, *batch.files_[i])) return false;
  }
  return true;
}

void BlockStream::cancel(BlockBatch& batch) {
  std::lock_guard<std::mutex> lock(mutex_);
  __atomic_store_n(&batch.cancelled, 1, __ATOMIC_RELAXED);
  turned_.notify_all();
}

std::vector<uint64_t> BlockStream::finish_output(uint32_t output) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (output >= outputs_.size()) {
    throw Error("ERR_INTERNAL_RANGE", "there is no output " + std::to_string(output));
  }
  std::vector<uint64_t> all;
  for (const Xxh3& state : outputs_[output].hashes) all.push_back(state.digest());
  outputs_[output].files.clear();
  outputs_[output].header = {};
  return all;
}

void BlockStream::shutdown() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    // Also of batches whose last block has been taken: it may wait for its turn.
    if (unfinished_ > 0) fail_locked(Error("ERR_ABORTED", "the stream was closed"));
    queued_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

std::optional<BlockStream::Taken> BlockStream::take(bool waits) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (waits) queued_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  if (queue_.empty()) return std::nullopt;
  const Taken taken{queue_.front(), queue_.front()->next_++};
  if (taken.batch->next_ == taken.batch->blocks_.size()) queue_.pop_front();
  return taken;
}

void BlockStream::leave(const std::shared_ptr<BlockBatch>& batch) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (--batch->left_ > 0) return;
    batch->error = failure_;
    unfinished_--;
  }
  batch->files_.clear();
  batch->engines_.clear();
  batch->done();
}

BlockStream::Output& BlockStream::output_of(const Block& block) {
  std::lock_guard<std::mutex> lock(mutex_);
  return outputs_[block.output];
}

void BlockStream::compare(BlockBatch& batch, const Block& block, uint8_t* slot) {
  const EngineLease engine(*this);
  const std::vector<CompareSums> sums = compare_arena(*engine, slot, block.compare, &batch.cancelled);
  auto next = sums.begin();
  for (size_t row = 0; row < block.compare.size(); row++) {
    const auto end = next + static_cast<ptrdiff_t>(spans_of(block.compare[row].count));
    std::copy(next, end, batch.sums.data() + block.results[row]);
    next = end;
  }
}

void BlockStream::produce(BlockBatch& batch, const Block& block, Output& output, uint8_t* slot) {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    turned_.wait(lock, [&] { return failure_ || raised(batch) || output.produced == block.position; });
  }
  throw_if_over(batch);
  // Nobody else has this output until `produced` moves on.
  for (const BlockCopy& copy : block.copies) std::memcpy(slot + copy.to, slot + copy.from, copy.length);
  if (block.position < output.header.size()) {
    const uint64_t length = std::min<uint64_t>(block.length, output.header.size() - block.position);
    for (const uint64_t out : block.outs) {
      std::memcpy(slot + out, output.header.data() + block.position, length);
    }
  }
  const size_t alphas = block.lerp.alpha_count;
  uint64_t hashed = 0;
  const auto hash_up_to = [&](uint64_t end) {
    for (size_t k = 0; k < output.hashes.size(); k++) {
      output.hashes[k].update(slot + block.outs[k] + hashed, end - hashed);
    }
    hashed = end;
  };
  if (!block.lerp.rows.empty()) {
    const EngineLease engine(*this);
    for_each_piece(block.lerp, options_.piece_bytes, [&](const LerpSegments& piece, const auto& rows) {
      const auto counts = lerp_arena(*engine, slot, piece, options_.alphas, &batch.cancelled);
      for (size_t i = 0; i < counts.size(); i++)
        batch.non_finite[block.results[rows[i / alphas]] * alphas + i % alphas] += counts[i];
      const LerpSegment& last = piece.rows.back();
      const uint64_t end = piece.out_offsets[(piece.rows.size() - 1) * alphas] - block.outs[0] +
                           last.count * item_size(last.out_dtype);
      hash_up_to(end);
    });
  }
  hash_up_to(block.length);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    output.produced += block.length;
  }
  turned_.notify_all();
}

void BlockStream::fail(FileError error) {
  std::lock_guard<std::mutex> lock(mutex_);
  fail_locked(std::move(error));
}

void BlockStream::fail_locked(FileError error) {
  if (!failure_) failure_ = std::move(error);
  turned_.notify_all();
}

void BlockStream::throw_if_over(const BlockBatch& batch) const {
  if (raised(batch)) throw Error("ERR_ABORTED", "the stream was aborted");
  std::lock_guard<std::mutex> lock(mutex_);
  if (failure_) throw FileError(*failure_);
}

}  // namespace wisemerge
