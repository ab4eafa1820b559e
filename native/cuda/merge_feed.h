// Brings the inputs of a call of merging many models to the device, range by range, through the slots. A
// range is a number of units, which a kernel must have whole (rows, spans): as many as fit a slot with all
// that belongs to them, and few enough that transfers and kernels of several ranges overlap. Where a single
// unit does not fit, it is gathered in device memory of its own.
#pragma once

#include <optional>
#include <vector>

#include "cuda/calls.h"
#include "cuda/kernels/merge_inputs.h"
#include "cuda/workspace.h"

namespace wisemerge::cuda {

// What a range takes of a slot besides its inputs: bytes for each element and bytes for any range.
struct MergeCost {
  double input = 0, output = 0;
  size_t fixed_input = 0, fixed_output = 0;
};

class MergeFeed {
 public:
  // Throws Failure with what `check` of merge_arguments.h has found.
  template <class Call>
  static void accept(WmCode (*check)(const Call&, WmError*), const Call& call) {
    WmError error{};
    const WmCode code = check(call, &error);
    if (code != WM_OK) throw Failure{code, 0, error.message};
    check_models(call.inputs);
  }

  // Input `model` alone, or all of them; arithmetic is that of all.
  static constexpr uint32_t kAllModels = ~0u;
  MergeFeed(WmContext& context, const WmMergeInputs& inputs, uint32_t model, uint64_t unit,
            const MergeCost& cost, WmCancelFlag cancelled);

  // No range goes on from one row to the next.
  void keep_within_rows() { within_rows_ = true; }

  // Models, base and dtypes of every range.
  const MergeChunk& shape() const { return chunk_; }

  // The next range, its inputs on their way; false after the last, or when cancelled.
  bool next();
  // Its first element, counted from the call's, and how many it has.
  uint64_t at() const { return chunk_at_; }
  uint64_t count() const { return chunk_.count; }
  // Of the tensor's rows, the first and the last of the range.
  uint64_t first_row() const { return chunk_.first_row; }
  uint64_t last_row() const { return (chunk_.first + chunk_.count - 1) / inputs_.row; }

  // More input of the range. Only before slot() and chunk().
  const void* place(const void* host, size_t bytes);
  // For its tables and results.
  Slot& slot();
  const MergeChunk& chunk();
  // Queues launch(stream); the range is done with.
  template <class Launch>
  void submit(Launch&& launch) {
    Slot& used = slot();
    if (!raised(cancelled_)) used.submit(launch);
  }

  // After the last range: waits for all results.
  WmCode finish();

 private:
  static void check_models(const WmMergeInputs& inputs);

  WmContext& context_;
  const WmMergeInputs& inputs_;
  const WmCancelFlag cancelled_;
  const uint32_t first_model_;
  std::vector<MergeSource> sources_;
  bool within_rows_ = false;
  uint64_t most_ = 0;                // elements of a range
  std::optional<Workspace> memory_;  // for a unit that does not fit a slot
  size_t memory_used_ = 0;
  uint64_t next_ = 0, chunk_at_ = 0;
  Slot* slot_ = nullptr;  // null: the range has none yet
  MergeChunk chunk_{};
};

}  // namespace wisemerge::cuda
