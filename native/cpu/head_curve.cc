#include "cpu/head_curve.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "cpu/head.h"
#include "cpu/head_screen.h"
#include "cpu/matmul.h"
#include "wisemerge/dtype.h"

namespace wisemerge::cpu {
namespace {

// Logits of one end that are computed at once where they are computed in full.
constexpr size_t kPlainBytes = 32u << 20;
constexpr size_t kPlainRows = 64;
// Screening ends when this share of the blocks so far, and this many, came to nothing.
constexpr size_t kHopelessShare = 4, kHopelessBlocks = 4;

WmCode check(const WmCurve& call, WmError* error) {
  constexpr const char* kName = "head_curve";
  const uint64_t limit = uint64_t{1} << 40;
  if (call.rows > limit || call.dimension > limit || call.classes == 0 || call.classes > INT32_MAX) {
    return fail(error, WM_INVALID_ARGUMENT, "head_curve: sizes out of range");
  }
  WmCode code = check_matrix(call.features, kName, "features", call.rows, call.dimension, error);
  if (code == WM_OK) code = check_matrix(call.w0, kName, "w0", call.classes, call.dimension, error);
  if (code == WM_OK) code = check_matrix(call.w1, kName, "w1", call.classes, call.dimension, error);
  if (code == WM_OK) code = check_interval(call.from, call.to, kName, error);
  if (code != WM_OK || call.rows == 0) return code;
  if (!call.labels || !call.lo || !call.hi || !call.open || !call.bias0 != !call.bias1) {
    return fail(error, WM_INVALID_ARGUMENT, "head_curve: labels, results or one of two biases are null");
  }
  return check_labels(call.labels, call.rows, call.classes, kName, error);
}

// Rows [first, last) from all their logits.
WmCode run_plain(WmContext& context, const WmCurve& call, size_t first, size_t last, WmCancelFlag cancelled,
                 WmError* error) {
  const size_t fitting = kPlainBytes / sizeof(float) / call.classes;
  const size_t batch = std::min(std::max(kPlainRows, fitting), last - first);
  float* const logits = context.logits.reserve(2 * batch * call.classes);
  for (size_t row = first; row < last; row += batch) {
    const size_t rows = std::min(batch, last - row);
    WmMatrix features = call.features;
    features.data = static_cast<const char*>(features.data) +
                    row * features.row_stride * item_size(static_cast<DType>(features.dtype));
    float* const ends[2] = {logits, logits + rows * call.classes};
    for (const int end : {0, 1}) {
      // With alpha 0 there is one model: that of this end.
      const WmMatmul product{rows,
                             call.classes,
                             call.dimension,
                             features,
                             end ? call.w1 : call.w0,
                             {},
                             0,
                             end ? call.bias1 : call.bias0,
                             nullptr,
                             ends[end],
                             call.classes};
      const WmCode code = run_matmul(context, product, cancelled, error);
      if (code != WM_OK) return code;
    }
    const WmPath path{{rows, call.classes, call.classes, ends[0], ends[1], call.labels + row},
                      call.from,
                      call.to,
                      call.lo + row,
                      call.hi + row,
                      call.open + row};
    const WmCode code = run_path(context, path, cancelled, error);
    if (code != WM_OK) return code;
  }
  return WM_OK;
}

}  // namespace

WmCode run_curve(WmContext& context, const WmCurve& call, WmCancelFlag cancelled, WmError* error) {
  const WmCode code = check(call, error);
  if (code != WM_OK || call.rows == 0) return code;
  const ScreenKernels* const screen = Screening::suits(call) ? select_screen(context.kernels) : nullptr;
  if (!screen) return run_plain(context, call, 0, call.rows, cancelled, error);

  const Screening screening(context, *screen, call, cancelled);
  const size_t step = screening.block_rows(), blocks = (call.rows + step - 1) / step;
  context.scratch.prepare(static_cast<size_t>(context.pool.size()), screening.scratch());
  std::vector<uint8_t> screened(blocks);
  // Which blocks are tried depends on the threads; what any of them gives does not.
  std::atomic<size_t> tried{0}, failed{0};
  context.pool.parallel_for(blocks, 1, [&](size_t begin, size_t end) {
    const ThreadScratch::Loan loan(context.scratch);
    for (size_t b = begin; b < end && !raised(cancelled); b++) {
      const size_t failures = failed.load(std::memory_order_relaxed);
      if (failures >= kHopelessBlocks && failures * kHopelessShare > tried.load(std::memory_order_relaxed)) {
        return;
      }
      screened[b] = screening.block(b * step, std::min<size_t>((b + 1) * step, call.rows), loan.data());
      tried.fetch_add(1, std::memory_order_relaxed);
      if (!screened[b]) failed.fetch_add(1, std::memory_order_relaxed);
    }
  });
  if (raised(cancelled)) return WM_CANCELLED;
  for (size_t b = 0; b < blocks;) {
    if (screened[b]) {
      b++;
      continue;
    }
    const size_t first = b;
    while (b < blocks && !screened[b]) b++;
    const WmCode plain =
        run_plain(context, call, first * step, std::min<size_t>(b * step, call.rows), cancelled, error);
    if (plain != WM_OK) return plain;
  }
  return WM_OK;
}

}  // namespace wisemerge::cpu
