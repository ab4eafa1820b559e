#include "cuda/merge_feed.h"

#include <algorithm>
#include <string>

#include "wisemerge/merge_arguments.h"

namespace wisemerge::cuda {
namespace {

// Counters, tables and sums of so many fit a slot.
constexpr uint32_t kMaxModels = 1024;
// Ranges that a call is cut into where they are not small.
constexpr uint64_t kRanges = 4;
constexpr size_t kSmallBytes = 1u << 20;

// Elements of which each takes `each` bytes of what `fixed` leaves of a slot.
uint64_t fitting(size_t room, size_t fixed, double each) {
  if (fixed > room) return 0;
  return each > 0 ? static_cast<uint64_t>(static_cast<double>(room - fixed) / each) : UINT64_MAX;
}

}  // namespace

void MergeFeed::check_models(const WmMergeInputs& inputs) {
  if (inputs.models <= kMaxModels) return;
  throw Failure{WM_INVALID_ARGUMENT, 0,
                "a merge of " + std::to_string(inputs.models) + " inputs exceeds the " +
                    std::to_string(kMaxModels) + " of the CUDA backend; compute it on the CPU"};
}

MergeFeed::MergeFeed(WmContext& context, const WmMergeInputs& inputs, uint32_t model, uint64_t unit,
                     const MergeCost& cost, WmCancelFlag cancelled)
    : context_(context),
      inputs_(inputs),
      cancelled_(cancelled),
      first_model_(model == kAllModels ? 0 : model),
      sources_(model == kAllModels ? inputs.models : 1) {
  chunk_.row = inputs.row;
  chunk_.models = static_cast<uint32_t>(sources_.size());
  chunk_.wide = merge_is_wide(inputs);
  size_t element = 0;
  for (size_t i = 0; i < sources_.size(); i++) {
    sources_[i].dtype = static_cast<DType>(inputs.x_dtypes[first_model_ + i]);
    element += item_size(sources_[i].dtype);
  }
  if (inputs.base) {
    chunk_.base.dtype = static_cast<DType>(inputs.base_dtype);
    element += item_size(chunk_.base.dtype);
  }
  const double each = static_cast<double>(element) + cost.input;
  const size_t fixed = cost.fixed_input + (sources_.size() + 1) * Slot::kAlignment;
  const uint64_t output = fitting(Slot::kOutputBytes, cost.fixed_output, cost.output);
  const uint64_t room = std::min(output, fitting(Slot::kInputBytes, fixed, each));
  const uint64_t even = std::max<uint64_t>(inputs.count / kRanges, kSmallBytes / element);
  const uint64_t least = std::min(unit, inputs.count);
  most_ = std::min(room / unit, even / unit + 1) * unit;
  if (most_ == 0 && room >= least) most_ = least;
  if (most_ > 0) return;
  if (output < least) {
    throw Failure{WM_INVALID_ARGUMENT, 0,
                  "the results of " + std::to_string(least) +
                      " elements that belong together exceed a transfer slot of the CUDA backend; compute "
                      "them on the CPU"};
  }
  most_ = unit;
  memory_.emplace(context, static_cast<size_t>(static_cast<double>(least) * each) + fixed + 1);
}

bool MergeFeed::next() {
  if (next_ >= inputs_.count || raised(cancelled_)) return false;
  chunk_at_ = next_;
  chunk_.first = inputs_.first + next_;
  chunk_.count = std::min(most_, inputs_.count - next_);
  if (within_rows_) chunk_.count = std::min(chunk_.count, inputs_.row - chunk_.first % inputs_.row);
  chunk_.first_row = inputs_.row > 0 ? chunk_.first / inputs_.row : 0;
  chunk_.first_bit = static_cast<uint32_t>(next_ % 8);
  next_ += chunk_.count;
  slot_ = memory_ ? nullptr : &context_.next_slot();
  memory_used_ = 0;
  const auto range = [&](const void* data, DType dtype) {
    return place(static_cast<const char*>(data) + chunk_at_ * item_size(dtype),
                 chunk_.count * item_size(dtype));
  };
  if (inputs_.base) chunk_.base.data = range(inputs_.base, chunk_.base.dtype);
  for (size_t i = 0; i < sources_.size(); i++) {
    sources_[i].data = range(inputs_.x[first_model_ + i], sources_[i].dtype);
  }
  chunk_.x = nullptr;
  return true;
}

const void* MergeFeed::place(const void* host, size_t bytes) {
  if (!memory_) return slot_->input(host, bytes);
  std::byte* const to = memory_->get() + memory_used_;
  memory_used_ += slot_bytes(bytes);
  for (size_t done = 0; done < bytes && !raised(cancelled_);) {
    Slot& slot = context_.next_slot();
    const size_t size = std::min(bytes - done, Slot::kInputBytes);
    const void* const from = slot.input(static_cast<const std::byte*>(host) + done, size);
    // On the stream of the kernels: behind the one that still reads what was here.
    slot.submit([&](cudaStream_t stream) {
      check(cudaMemcpyAsync(to + done, from, size, cudaMemcpyDeviceToDevice, stream),
            "copying on the device");
    });
    done += size;
  }
  return to;
}

Slot& MergeFeed::slot() {
  if (!slot_) slot_ = &context_.next_slot();
  return *slot_;
}

const MergeChunk& MergeFeed::chunk() {
  if (!chunk_.x) chunk_.x = slot().table(sources_.data(), sources_.size());
  return chunk_;
}

WmCode MergeFeed::finish() {
  if (raised(cancelled_)) return WM_CANCELLED;
  context_.finish();
  return WM_OK;
}

}  // namespace wisemerge::cuda
