#include "core/block_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/arena_compute.h"
#include "core/block_pieces.h"

namespace wisemerge {
namespace {

uint64_t whole_pages(uint64_t bytes) {
  return (bytes + BlockStream::kPage - 1) / BlockStream::kPage * BlockStream::kPage;
}

bool raised(const BlockBatch& batch) { return __atomic_load_n(&batch.cancelled, __ATOMIC_RELAXED) != 0; }

void throw_if_raised(const BlockBatch& batch) {
  if (raised(batch)) throw Error("ERR_ABORTED", "the stream was aborted");
}

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
    stream_.freed_.notify_one();
  }
  EngineLease(const EngineLease&) = delete;
  EngineLease& operator=(const EngineLease&) = delete;
  Engine& operator*() const { return *engine_; }

 private:
  BlockStream& stream_;
  std::shared_ptr<Engine> engine_;
};

const SharedFd& BlockBatch::file(int fd) const {
  return *std::find_if(files_.begin(), files_.end(),
                       [fd](const SharedFd& file) { return file.original() == fd; });
}

BlockStream::BlockStream(BlockStreamOptions options)
    : options_(std::move(options)), idle_engines_(options_.engines) {
  const uint64_t slot = options_.slot_bytes;
  if (slot == 0 || slot % kPage != 0 || slot > options_.arena->size()) {
    throw Error("ERR_INTERNAL_ARGUMENT",
                "a slot of " + std::to_string(slot) + " bytes is not a part of the arena in whole pages");
  }
  const size_t outs = options_.outs.size(), alphas = options_.alphas.size();
  if ((outs == 0) != (alphas == 0) || (outs > 0 && alphas % outs != 0)) {
    throw Error("ERR_INTERNAL_ARGUMENT", "every set of alphas needs one for each output");
  }
}

BlockStream::~BlockStream() { shutdown(); }

uint32_t BlockStream::add_output(const std::vector<int>& fds, std::vector<bool> direct,
                                 std::vector<uint8_t> header) {
  if (fds.size() != options_.outs.size() || direct.size() != fds.size()) {
    throw Error("ERR_INTERNAL_ARGUMENT", "an output needs a file for each region");
  }
  std::vector<SharedFd> files;
  for (const int fd : fds) files.emplace_back(fd);
  std::lock_guard<std::mutex> lock(mutex_);
  outputs_.push_back(
      {std::move(files), std::move(direct), std::move(header), std::vector<Xxh3>(fds.size()), 0});
  return static_cast<uint32_t>(outputs_.size() - 1);
}

void BlockStream::check(const Block& block) const {
  const auto inside = [&](uint64_t at, uint64_t length) {
    if (at > options_.slot_bytes || length > options_.slot_bytes - at) {
      throw Error("ERR_INTERNAL_RANGE", "bytes " + std::to_string(at) + " to " + std::to_string(at + length) +
                                            " leave a slot of " + std::to_string(options_.slot_bytes));
    }
  };
  for (const BlockRead& read : block.reads) {
    inside(read.at, read.length);
    if (read.wanted > read.length) throw Error("ERR_INTERNAL_RANGE", "a read wants more than it asks for");
  }
  for (const BlockCopy& copy : block.copies) {
    inside(copy.from, copy.length);
    inside(copy.to, copy.length);
  }
  for (const uint64_t out : options_.outs) inside(out, whole_pages(block.length));
  const size_t sets = options_.outs.empty() ? 0 : options_.alphas.size() / options_.outs.size();
  for (const uint32_t set : block.lerp.alpha_sets) {
    if (set >= sets) throw Error("ERR_INTERNAL_RANGE", "there are no alphas " + std::to_string(set));
  }
  if (!options_.alphas.empty() && block.output >= outputs_.size()) {
    throw Error("ERR_INTERNAL_RANGE", "there is no output " + std::to_string(block.output));
  }
  uint64_t end = 0;
  for (size_t row = 0; row < block.lerp.rows.size(); row++) {
    const LerpSegment& segment = block.lerp.rows[row];
    const uint64_t at = block.lerp.out_offsets[row * block.lerp.alpha_count] - options_.outs[0];
    const uint64_t bytes = segment.count * item_size(segment.out_dtype);
    if (at < end || at + bytes > block.length) {
      throw Error("ERR_INTERNAL_RANGE",
                  "segment " + std::to_string(row) + " lies before an earlier one or past its block");
    }
    end = at + bytes;
  }
}

void BlockStream::place(Block& block) const {
  block.outs = options_.outs;
  if (!options_.in_place || options_.outs.size() != 1 || !block.copies.empty() ||
      block.position < outputs_[block.output].header.size()) {
    return;
  }
  block.outs[0] = place_over_x(block.lerp, block.outs[0], block.length);
}

void BlockStream::submit(std::shared_ptr<BlockBatch> batch) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) throw Error("ERR_ABORTED", "the stream is closed");
  try {
    enqueue(std::move(batch));
  } catch (...) {
    fail(current_error());
    throw;
  }
}

void BlockStream::enqueue(std::shared_ptr<BlockBatch> batch) {
  if (batch->blocks.empty()) throw Error("ERR_INTERNAL_ARGUMENT", "a batch needs a block");
  for (Block& block : batch->blocks) {
    check(block);
    place(block);
    if (!options_.outs.empty()) {
      // Whoever fills a gap would have to come later, and this block would wait for it.
      uint64_t& submitted = outputs_[block.output].submitted;
      if (!failure_ && block.position != submitted) {
        throw Error("ERR_INTERNAL_RANGE", "a block at byte " + std::to_string(block.position) +
                                              " of an output that has " + std::to_string(submitted) +
                                              " bytes so far");
      }
      submitted += block.length;
    }
    for (const BlockRead& read : block.reads) {
      const auto same = [&](const SharedFd& file) { return file.original() == read.fd; };
      if (std::none_of(batch->files_.begin(), batch->files_.end(), same)) batch->files_.emplace_back(read.fd);
    }
  }
  if (threads_.empty()) {
    const uint64_t slots = options_.arena->size() / options_.slot_bytes;
    for (uint64_t i = 0; i < slots; i++) {
      threads_.emplace_back([this, slot = options_.arena->data() + i * options_.slot_bytes] { work(slot); });
    }
  }
  for (const std::shared_ptr<Engine>& engine : options_.engines) batch->engines_.emplace_back(engine);
  batch->left_ = batch->blocks.size();
  batch->non_finite.resize(batch->blocks.size());
  batch->sums.resize(batch->blocks.size());
  queue_.push_back(std::move(batch));
  unfinished_++;
  queued_.notify_all();
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
    if (unfinished_ > 0) fail(Error("ERR_ABORTED", "the stream was closed"));
    queued_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void BlockStream::work(uint8_t* slot) {
  for (;;) {
    std::shared_ptr<BlockBatch> batch;
    size_t index;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      queued_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      batch = queue_.front();
      index = batch->next_++;
      if (batch->next_ == batch->blocks.size()) queue_.pop_front();
    }
    try {
      run(*batch, index, slot);
    } catch (...) {
      FileError error = current_error();
      std::lock_guard<std::mutex> lock(mutex_);
      fail(std::move(error));
    }
    bool last;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      last = --batch->left_ == 0;
      if (last) batch->error = failure_, unfinished_--;
    }
    if (!last) continue;
    batch->files_.clear();
    batch->engines_.clear();
    batch->done();
  }
}

void BlockStream::run(BlockBatch& batch, size_t index, uint8_t* slot) {
  throw_if_raised(batch);
  throw_if_failed();
  const Block& block = batch.blocks[index];
  for (const BlockRead& read : block.reads)
    read_fully(batch.file(read.fd), slot + read.at, read.position, read.length, read.wanted);
  if (options_.alphas.empty()) {
    if (block.compare.empty()) return;
    const EngineLease engine(*this);
    batch.sums[index] = compare_arena(*engine, slot, block.compare, &batch.cancelled);
    return;
  }
  Output& output = output_of(block);
  produce(batch, index, output, slot);
  write(block, output, slot);
}

BlockStream::Output& BlockStream::output_of(const Block& block) {
  std::lock_guard<std::mutex> lock(mutex_);
  return outputs_[block.output];
}

void BlockStream::produce(BlockBatch& batch, size_t index, Output& output, uint8_t* slot) {
  const Block& block = batch.blocks[index];
  {
    std::unique_lock<std::mutex> lock(mutex_);
    turned_.wait(lock, [&] { return failure_ || raised(batch) || output.produced == block.position; });
  }
  throw_if_failed();
  throw_if_raised(batch);
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
  std::vector<uint64_t>& non_finite = batch.non_finite[index];
  non_finite.assign(block.lerp.rows.size() * alphas, 0);
  if (!block.lerp.rows.empty()) {
    const EngineLease engine(*this);
    for_each_piece(block.lerp, options_.piece_bytes, [&](const LerpSegments& piece, const auto& rows) {
      const auto counts = lerp_arena(*engine, slot, piece, options_.alphas, &batch.cancelled);
      for (size_t i = 0; i < counts.size(); i++)
        non_finite[rows[i / alphas] * alphas + i % alphas] += counts[i];
      const LerpSegment& last = piece.rows.back();
      const uint64_t end = piece.out_offsets[(piece.rows.size() - 1) * alphas] - block.outs[0] +
                           last.count * item_size(last.out_dtype);
      hash_up_to(end);
    });
  }
  hash_up_to(block.length);
  std::lock_guard<std::mutex> lock(mutex_);
  output.produced += block.length;
  turned_.notify_all();
}

void BlockStream::write(const Block& block, const Output& output, uint8_t* slot) {
  for (size_t k = 0; k < output.files.size(); k++) {
    uint8_t* const out = slot + block.outs[k];
    const uint64_t length = output.direct[k] ? whole_pages(block.length) : block.length;
    std::memset(out + block.length, 0, length - block.length);
    write_fully(output.files[k], out, length, block.position);
  }
}

void BlockStream::fail(FileError error) {
  if (!failure_) failure_ = std::move(error);
  turned_.notify_all();
}

void BlockStream::throw_if_failed() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (failure_) throw FileError(*failure_);
}

}  // namespace wisemerge
