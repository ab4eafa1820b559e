#include "core/block_lane.h"

#include <utility>

#include "core/file_io.h"

namespace wisemerge {
namespace {

size_t take_first(std::vector<size_t>& slots) {
  const size_t first = slots.front();
  slots.erase(slots.begin());
  return first;
}

}  // namespace

BlockStream::Lane::Lane(BlockStream& stream, std::unique_ptr<FileQueue> files,
                        const std::vector<uint8_t*>& slots)
    : stream_(stream), files_(std::move(files)) {
  free_.reserve(slots.size());
  reading_.reserve(slots.size());
  for (uint8_t* const memory : slots) {
    free_.push_back(slots_.size());
    slots_.push_back({memory});
  }
}

void BlockStream::Lane::run() {
  while (take()) {
    const bool can_compute = !reading_.empty() && slots_[reading_.front()].under_way == 0;
    if (FileRequest* const request = files_->next(!can_compute)) {
      Slot& slot = slots_[request->owner];
      attempt(slot, [&] { finish(*request); });
      slot.under_way--;
      if (slot.computed) leave(request->owner);
    } else {
      const size_t slot = take_first(reading_);
      attempt(slots_[slot], [&] { compute(slot); });
      slots_[slot].computed = true;
      leave(slot);
    }
  }
}

bool BlockStream::Lane::take() {
  while (!free_.empty()) {
    const bool idle = free_.size() == slots_.size();
    const std::optional<Taken> taken = stream_.take(idle);
    if (!taken) return !idle;
    const size_t at = take_first(free_);
    reading_.push_back(at);
    Slot& slot = slots_[at];
    slot.batch = taken->batch;
    slot.block = &taken->batch->blocks_[taken->index];
    slot.computed = slot.failed = false;
    attempt(slot, [&] { begin_reads(at); });
  }
  return true;
}

void BlockStream::Lane::begin_reads(size_t at) {
  Slot& slot = slots_[at];
  stream_.throw_if_over(*slot.batch);
  slot.requests.clear();
  for (const BlockRead& read : slot.block->reads) {
    slot.requests.push_back({&slot.batch->file(read), false, read.direct, slot.memory + read.at,
                             read.position, read.length, read.wanted, at});
  }
  start(at);
}

void BlockStream::Lane::compute(size_t at) {
  Slot& slot = slots_[at];
  const Block& block = *slot.block;
  if (stream_.options_.shape.outputs == 0) return stream_.compare(*slot.batch, block, slot.memory);
  Output& output = stream_.output_of(block);
  stream_.produce(*slot.batch, block, output, slot.memory);
  slot.requests.clear();
  for (size_t k = 0; k < output.files.size(); k++) {
    uint8_t* const out = slot.memory + block.outs[k];
    const uint64_t length = output.direct[k] ? pad_to_page(out, block.length) : block.length;
    slot.requests.push_back(
        {&output.files[k], true, output.direct[k], out, block.position, length, length, at});
  }
  start(at);
}

void BlockStream::Lane::start(size_t at) {
  for (FileRequest& request : slots_[at].requests) {
    files_->start(request);
    slots_[at].under_way++;
  }
}

void BlockStream::Lane::leave(size_t at) {
  Slot& slot = slots_[at];
  if (slot.under_way > 0) return;
  free_.push_back(at);
  stream_.leave(std::exchange(slot.batch, nullptr));
}

template <class Step>
void BlockStream::Lane::attempt(Slot& slot, const Step& step) {
  if (slot.failed) return;
  try {
    step();
  } catch (...) {
    slot.failed = true;
    stream_.fail(current_error());
  }
}

}  // namespace wisemerge
