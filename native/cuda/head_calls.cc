// The calls on logits: samples stream through the slots, and what is added up over samples comes back per
// block of kSampleBlock of them. A chunk may begin and end within a block: its sums then go on from one chunk
// to the next in device memory.
#include <algorithm>
#include <string>
#include <vector>

#include "cuda/calls.h"
#include "cuda/head_arguments.h"
#include "cuda/head_launch.h"
#include "cuda/lines.h"
#include "cuda/workspace.h"
#include "wisemerge/head.h"

namespace wisemerge::cuda {
namespace {

constexpr uint64_t kMaxRows = 1u << 20;  // of a chunk

// Bytes that a sample takes of a slot beside its logits, and what all samples together take at most.
struct Cost {
  size_t input_per_row, input_fixed, output_per_row, output_fixed;
};

Lines lines_of(const WmLogits& logits, const float* z) {
  return {z, logits.stride * sizeof(float), logits.classes * sizeof(float)};
}

uint64_t share(size_t room, size_t fixed, size_t per_row) {
  return room > fixed ? (room - fixed) / per_row : 0;
}

// The samples of the next chunk: whole blocks where there is room for one.
uint32_t rows_fitting(const Slot& slot, const WmLogits& logits, uint64_t left, const Cost& cost) {
  const Lines lines = lines_of(logits, logits.z0);
  const size_t ends = logits.z0 == logits.z1 ? 1 : 2;
  const uint64_t rows = std::min({left, kMaxRows,
                                  share(slot.input_room(), cost.input_fixed + 4 * Slot::kAlignment,
                                        ends * lines.pitch() + cost.input_per_row + sizeof(int32_t)),
                                  share(slot.output_room(), cost.output_fixed, cost.output_per_row)});
  if (rows == 0) {
    throw Failure{WM_INVALID_ARGUMENT, 0,
                  "the logits of one sample in " + std::to_string(logits.classes) +
                      " classes exceed a transfer slot of the CUDA backend; compute them on the CPU"};
  }
  return static_cast<uint32_t>(rows < left && rows > kSampleBlock ? rows / kSampleBlock * kSampleBlock
                                                                  : rows);
}

template <class T>
const T* place(Slot& slot, const T* host, size_t count) {
  return static_cast<const T*>(slot.input(host, count * sizeof(T)));
}

HeadLogits place_logits(Slot& slot, const WmLogits& logits, uint64_t first, uint32_t rows) {
  const Lines z0 = lines_of(logits, logits.z0), z1 = lines_of(logits, logits.z1);
  HeadLogits placed{};
  placed.z0 = static_cast<const float*>(place_lines(slot, z0, first, rows));
  placed.z1 =
      logits.z0 == logits.z1 ? placed.z0 : static_cast<const float*>(place_lines(slot, z1, first, rows));
  placed.labels = place(slot, logits.labels + first, rows);
  placed.stride = z0.pitch() / sizeof(float);
  placed.rows = rows;
  placed.classes = static_cast<uint32_t>(logits.classes);
  return placed;
}

template <class T>
T* results(Slot& slot, T* host, size_t count) {
  return static_cast<T*>(slot.output(host, count * sizeof(T)));
}

// In ascending order of blocks.
void add_blocks(const std::vector<double>& blocks, size_t width, double* sums) {
  for (size_t at = 0; at < blocks.size(); at += width) {
    for (size_t j = 0; j < width; j++) sums[j] += blocks[at + j];
  }
}

size_t block_count(uint64_t rows) { return (rows + kSampleBlock - 1) / kSampleBlock; }

// The sums of an unfinished block between two chunks: each reads one half and writes the other.
class Carry {
 public:
  Carry(WmContext& context, size_t width) : width_(width), memory_(context, 2 * width * sizeof(double)) {}
  double* half(bool second) const { return reinterpret_cast<double*>(memory_.get()) + (second ? width_ : 0); }
  // Describes the next chunk's halves.
  template <class Call>
  void turn(Call& call) {
    call.carried_in = half(second_);
    call.carried_out = half(!second_);
    second_ = !second_;
  }

 private:
  size_t width_;
  Workspace memory_;
  bool second_ = false;
};

// The metrics at one block of alphas, from `first` on, their sums in `sums` and their predictions in
// `predictions` (may be null). `all`: the runs of the call.
WmCode metrics_pass(WmContext& context, const WmHeadMetrics& call, const AlphaRuns& all, uint32_t first,
                    uint32_t count, double* sums, int32_t* predictions, WmCancelFlag cancelled) {
  const WmLogits& logits = call.logits;
  const double* const asked = call.alphas + first;
  HeadMetrics chunk{};
  // Every prediction is compared with those of the ends, which come last where they are not asked for. One
  // model in the place of both predicts the same everywhere.
  std::vector<double> alphas(asked, asked + count);
  const auto place_of = [&](double end) {
    const auto found = std::find(alphas.begin(), alphas.end(), end);
    const auto at = static_cast<uint32_t>(found - alphas.begin());
    if (found == alphas.end()) alphas.push_back(end);
    return at;
  };
  const bool one_model = logits.z0 == logits.z1;
  chunk.asked = count;
  chunk.zeroshot = one_model ? 0 : place_of(0);
  chunk.finetuned = one_model ? 0 : place_of(1);
  chunk.places = static_cast<uint32_t>(alphas.size());
  const AlphaRuns runs = runs_of_block(all, first, chunk.places);
  chunk.run_count = static_cast<uint32_t>(runs.runs.size());
  chunk.step = runs.step;

  const size_t width = count * kMetricColumns;
  std::vector<double> blocks(block_count(logits.rows) * width);
  Carry carry(context, width);
  Cost cost{};
  cost.input_per_row = 2 * sizeof(double) + sizeof(uint8_t);
  cost.input_fixed = 3 * Slot::kAlignment;
  // A block's sums belong to all of its samples; the chunk may touch two blocks more than it fills.
  cost.output_per_row = chunk.places * sizeof(SampleMetrics) + count * sizeof(int32_t) +
                        (width * sizeof(double) + kSampleBlock - 1) / kSampleBlock;
  cost.output_fixed = 2 * width * sizeof(double) + (count + 2) * Slot::kAlignment;

  for (uint64_t i = 0; i < logits.rows; i += chunk.logits.rows) {
    if (raised(cancelled)) return WM_CANCELLED;
    Slot& slot = context.next_slot();
    const uint32_t rows = rows_fitting(slot, logits, logits.rows - i, cost);
    chunk.logits = place_logits(slot, logits, i, rows);
    chunk.lo = place(slot, call.lo + i, rows);
    chunk.hi = place(slot, call.hi + i, rows);
    chunk.open = place(slot, call.open + i, rows);
    chunk.alphas = slot.table(alphas.data(), alphas.size());
    chunk.runs = slot.table(runs.runs.data(), runs.runs.size());
    chunk.samples =
        static_cast<SampleMetrics*>(slot.scratch(size_t{rows} * chunk.places * sizeof(SampleMetrics)));
    chunk.first_sample = i;
    carry.turn(chunk);
    chunk.blocks = results(slot, blocks.data() + i / kSampleBlock * width, chunk_blocks(i, rows) * width);
    chunk.prediction_stride = slot_bytes(rows * sizeof(int32_t)) / sizeof(int32_t);
    for (uint32_t k = 0; predictions && k < count; k++) {
      int32_t* const device = results(slot, predictions + k * logits.rows + i, rows);
      if (k == 0) chunk.predictions = device;
    }
    slot.submit([&](cudaStream_t stream) { check(launch(chunk, stream), "launching the metrics"); });
  }
  context.finish();
  add_blocks(blocks, width, sums);
  return WM_OK;
}

}  // namespace

WmCode run_path(WmContext& context, const WmPath& call, WmCancelFlag cancelled) {
  check_path(call);
  const WmLogits& logits = call.logits;
  Cost cost{};
  cost.output_per_row = 2 * sizeof(double) + sizeof(uint8_t);
  cost.output_fixed = 3 * Slot::kAlignment;
  HeadPath chunk{};
  chunk.from = call.from;
  chunk.to = call.to;
  for (uint64_t i = 0; i < logits.rows; i += chunk.logits.rows) {
    if (raised(cancelled)) return WM_CANCELLED;
    Slot& slot = context.next_slot();
    const uint32_t rows = rows_fitting(slot, logits, logits.rows - i, cost);
    chunk.logits = place_logits(slot, logits, i, rows);
    chunk.lo = results(slot, call.lo + i, rows);
    chunk.hi = results(slot, call.hi + i, rows);
    chunk.open = results(slot, call.open + i, rows);
    slot.submit([&](cudaStream_t stream) { check(launch(chunk, stream), "launching the exact path"); });
  }
  context.finish();
  return WM_OK;
}

WmCode run_metrics(WmContext& context, const WmHeadMetrics& call, WmCancelFlag cancelled) {
  check_metrics(call);
  const WmLogits& logits = call.logits;
  // A call that does not end well adds nothing.
  const size_t width = call.alpha_count * size_t{kMetricColumns};
  std::vector<double> sums(call.sums, call.sums + width);
  std::vector<uint32_t> counts(call.predicted ? call.alpha_count * logits.classes : 0);
  std::vector<int32_t> own;  // predictions that are only counted
  const AlphaRuns all = alpha_runs({call.alphas, call.alphas + call.alpha_count}, call.alpha_count);
  for (uint32_t k = 0; k < call.alpha_count; k += kAlphaBlock) {
    const uint32_t count = std::min(kAlphaBlock, call.alpha_count - k);
    int32_t* predictions = call.predictions ? call.predictions + k * logits.rows : nullptr;
    if (!predictions && call.predicted) {
      own.resize(count * logits.rows);
      predictions = own.data();
    }
    const WmCode code =
        metrics_pass(context, call, all, k, count, sums.data() + k * kMetricColumns, predictions, cancelled);
    if (code != WM_OK) return code;
    for (uint32_t a = 0; call.predicted && a < count; a++) {
      uint32_t* const classes = counts.data() + (k + a) * logits.classes;
      for (uint64_t i = 0; i < logits.rows; i++) classes[predictions[a * logits.rows + i]]++;
    }
  }
  std::copy(sums.begin(), sums.end(), call.sums);
  for (size_t c = 0; c < counts.size(); c++) call.predicted[c] += counts[c];
  return WM_OK;
}

WmCode run_moments(WmContext& context, const WmHeadMoments& call, WmCancelFlag cancelled) {
  check_moments(call);
  const WmLogits& logits = call.logits;
  std::vector<double> blocks(block_count(logits.rows) * kMoments);
  Carry carry(context, kMoments);
  Cost cost{};
  cost.input_per_row = call.weights ? sizeof(double) : 0;
  cost.input_fixed = Slot::kAlignment;
  cost.output_per_row = (kMoments + 1) * sizeof(double);
  cost.output_fixed = 2 * kMoments * sizeof(double) + 2 * Slot::kAlignment;
  HeadMoments chunk{};
  chunk.b = static_cast<float>(call.b);
  chunk.g = static_cast<float>(call.g);
  for (uint64_t i = 0; i < logits.rows; i += chunk.logits.rows) {
    if (raised(cancelled)) return WM_CANCELLED;
    Slot& slot = context.next_slot();
    const uint32_t rows = rows_fitting(slot, logits, logits.rows - i, cost);
    chunk.logits = place_logits(slot, logits, i, rows);
    if (call.weights) chunk.weights = place(slot, call.weights + i, rows);
    chunk.samples = static_cast<double*>(slot.scratch(size_t{rows} * kMoments * sizeof(double)));
    chunk.first_sample = i;
    carry.turn(chunk);
    chunk.blocks =
        results(slot, blocks.data() + i / kSampleBlock * kMoments, chunk_blocks(i, rows) * kMoments);
    slot.submit([&](cudaStream_t stream) { check(launch(chunk, stream), "launching the moments"); });
  }
  context.finish();
  add_blocks(blocks, kMoments, call.sums);
  return WM_OK;
}

}  // namespace wisemerge::cuda
