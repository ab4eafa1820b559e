#include "cuda/slot.h"

namespace wisemerge::cuda {

Slot::Slot(Streams& streams, const PinnedRanges& pinned)
    : streams_(streams),
      pinned_(pinned),
      input_(kInputBytes),
      output_(kOutputBytes),
      table_(kTableBytes),
      counters_(kCounters * sizeof(uint64_t)),
      table_mirror_(kTableBytes),
      counters_mirror_(kCounters * sizeof(uint64_t)) {}

bool Slot::staged(const void* host, size_t bytes) const {
  return bytes < kDirectBytes || !pinned_.contains(host, bytes);
}

const void* Slot::input(const void* host, size_t bytes) {
  std::byte* device = input_.get() + input_used_;
  if (staged(host, bytes)) {
    if (!input_mirror_) input_mirror_ = std::make_unique<PinnedMemory>(kInputBytes);
    if (staged_end_ != input_used_) {  // a direct copy lies between
      flush_staged_input();
      staged_begin_ = input_used_;
    }
    std::memcpy(input_mirror_->get() + input_used_, host, bytes);
    staged_end_ = input_used_ + slot_bytes(bytes);
  } else {
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, streams_.upload),
          "copying to the device");
  }
  input_used_ += slot_bytes(bytes);
  return device;
}

void Slot::flush_staged_input() {
  if (staged_begin_ == staged_end_) return;
  check(cudaMemcpyAsync(input_.get() + staged_begin_, input_mirror_->get() + staged_begin_,
                        staged_end_ - staged_begin_, cudaMemcpyHostToDevice, streams_.upload),
        "copying to the device");
  staged_begin_ = staged_end_;
}

void* Slot::output(void* host, size_t bytes, size_t stride, size_t count) {
  const bool stage = staged(host, count > 0 ? (count - 1) * stride + bytes : 0);
  if (stage && !output_mirror_) output_mirror_ = std::make_unique<PinnedMemory>(kOutputBytes);
  outputs_.push_back({static_cast<std::byte*>(host), output_used_, bytes, stride, count, stage});
  return scratch(bytes * count);
}

void* Slot::scratch(size_t bytes) {
  std::byte* device = output_.get() + output_used_;
  output_used_ += slot_bytes(bytes);
  return device;
}

const void* Slot::table(const void* rows, size_t bytes) {
  std::memcpy(table_mirror_.get() + table_used_, rows, bytes);
  const std::byte* device = table_.get() + table_used_;
  table_used_ += slot_bytes(bytes);
  return device;
}

uint64_t* Slot::counters(uint64_t* into, size_t count) {
  counts_.push_back({into, counters_used_, count});
  uint64_t* device = reinterpret_cast<uint64_t*>(counters_.get()) + counters_used_;
  counters_used_ += count;
  return device;
}

void Slot::begin_compute() {
  flush_staged_input();
  check(cudaMemcpyAsync(table_.get(), table_mirror_.get(), table_used_, cudaMemcpyHostToDevice,
                        streams_.upload),
        "copying the segment table to the device");
  check(cudaEventRecord(uploaded_, streams_.upload), "recording an event");
  check(cudaStreamWaitEvent(streams_.compute, uploaded_, 0), "ordering the streams");
  if (counters_used_ == 0) return;
  check(cudaMemsetAsync(counters_.get(), 0, counters_used_ * sizeof(uint64_t), streams_.compute),
        "clearing the counters");
}

void Slot::end_compute() {
  check(cudaEventRecord(computed_, streams_.compute), "recording an event");
  check(cudaStreamWaitEvent(streams_.download, computed_, 0), "ordering the streams");
  for (size_t i = 0; i < outputs_.size();) {
    const Output& first = outputs_[i];
    size_t end = first.offset + first.bytes();
    i++;
    if (first.staged) {
      // Neighbours in the mirror share one copy.
      for (; i < outputs_.size() && outputs_[i].staged && outputs_[i].offset == slot_bytes(end); i++) {
        end = outputs_[i].offset + outputs_[i].bytes();
      }
      check(cudaMemcpyAsync(output_mirror_->get() + first.offset, output_.get() + first.offset,
                            end - first.offset, cudaMemcpyDeviceToHost, streams_.download),
            "copying from the device");
    } else if (first.stride == first.line) {
      check(cudaMemcpyAsync(first.host, output_.get() + first.offset, end - first.offset,
                            cudaMemcpyDeviceToHost, streams_.download),
            "copying from the device");
    } else {
      check(cudaMemcpy2DAsync(first.host, first.stride, output_.get() + first.offset, first.line, first.line,
                              first.count, cudaMemcpyDeviceToHost, streams_.download),
            "copying from the device");
    }
  }
  if (counters_used_ > 0) {
    check(cudaMemcpyAsync(counters_mirror_.get(), counters_.get(), counters_used_ * sizeof(uint64_t),
                          cudaMemcpyDeviceToHost, streams_.download),
          "copying the counters from the device");
  }
  check(cudaEventRecord(downloaded_, streams_.download), "recording an event");
  submitted_ = true;
}

void Slot::wait() {
  if (submitted_) {
    check(cudaEventSynchronize(downloaded_), "waiting for the device");
    for (const Output& output : outputs_) {
      if (!output.staged) continue;
      const std::byte* const from = output_mirror_->get() + output.offset;
      if (output.stride == output.line) {
        std::memcpy(output.host, from, output.bytes());
        continue;
      }
      for (size_t i = 0; i < output.count; i++) {
        std::memcpy(output.host + i * output.stride, from + i * output.line, output.line);
      }
    }
    const uint64_t* values = reinterpret_cast<const uint64_t*>(counters_mirror_.get());
    for (const Count& count : counts_) {
      for (size_t i = 0; i < count.count; i++) count.into[i] += values[count.first + i];
    }
  }
  discard();
}

void Slot::discard() {
  input_used_ = output_used_ = table_used_ = counters_used_ = 0;
  staged_begin_ = staged_end_ = 0;
  outputs_.clear();
  counts_.clear();
  submitted_ = false;
}

}  // namespace wisemerge::cuda
