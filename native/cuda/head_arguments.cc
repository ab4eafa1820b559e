#include "cuda/head_arguments.h"

#include <cmath>
#include <string>

#include "cuda/failure.h"
#include "wisemerge/dtype.h"

namespace wisemerge::cuda {
namespace {

[[noreturn]] void refuse(const char* call, const std::string& fault) {
  throw Failure{WM_INVALID_ARGUMENT, 0, std::string(call) + ": " + fault};
}

std::string text(double value) {
  char digits[32];
  std::snprintf(digits, sizeof(digits), "%g", value);
  return digits;
}

void check_matrix(const WmMatrix& matrix, const std::string& name, uint64_t rows, uint64_t columns) {
  const int32_t dtype = matrix.dtype;
  if (dtype != static_cast<int32_t>(DType::kF32) && dtype != static_cast<int32_t>(DType::kF16) &&
      dtype != static_cast<int32_t>(DType::kBF16)) {
    refuse("matmul", "dtype " + std::to_string(dtype) + " of " + name + " is none of F32, F16, BF16");
  }
  if (!matrix.data && rows > 0 && columns > 0) refuse("matmul", name + " is null");
  if (matrix.row_stride != 1 && matrix.column_stride != 1) {
    refuse("matmul", name + " has strides " + std::to_string(matrix.row_stride) + " and " +
                         std::to_string(matrix.column_stride) + "; one must be 1");
  }
  if (reinterpret_cast<uintptr_t>(matrix.data) % item_size(static_cast<DType>(dtype)) != 0) {
    refuse("matmul", name + " is not aligned to its elements");
  }
}

void check_logits(const WmLogits& logits, const char* call) {
  if (logits.rows == 0) return;
  if (logits.classes == 0 || logits.classes > INT32_MAX || logits.stride < logits.classes) {
    refuse(call, std::to_string(logits.classes) + " classes in rows of " + std::to_string(logits.stride));
  }
  if (!logits.z0 || !logits.z1 || !logits.labels) refuse(call, "logits or labels are null");
  for (uint64_t i = 0; i < logits.rows; i++) {
    if (logits.labels[i] < 0 || static_cast<uint64_t>(logits.labels[i]) >= logits.classes) {
      refuse(call, "label " + std::to_string(logits.labels[i]) + " of sample " + std::to_string(i) +
                       " is outside 0.." + std::to_string(logits.classes - 1));
    }
  }
}

}  // namespace

void check_matmul(const WmMatmul& call) {
  if (!std::isfinite(call.alpha)) refuse("matmul", "alpha is " + text(call.alpha));
  constexpr uint64_t kLimit = uint64_t{1} << 40;
  if (call.m > kLimit || call.n > kLimit || call.k > kLimit || call.out_stride < call.n) {
    refuse("matmul", "sizes out of range");
  }
  check_matrix(call.a, "a", call.m, call.k);
  check_matrix(call.w0, "w0", call.n, call.k);
  if (call.alpha != 0) {
    check_matrix(call.w1, "w1", call.n, call.k);
    if (call.w1.column_stride != call.w0.column_stride &&
        (call.w1.column_stride == 1 || call.w0.column_stride == 1)) {
      refuse("matmul", "w0 and w1 are laid out differently");
    }
    if (call.bias0 && !call.bias1) refuse("matmul", "bias1 is null");
  }
  if (!call.out && call.m > 0 && call.n > 0) refuse("matmul", "out is null");
}

void check_path(const WmPath& call) {
  check_logits(call.logits, "head_path");
  if (!std::isfinite(call.from) || !std::isfinite(call.to) || call.from > call.to) {
    refuse("head_path", "from " + text(call.from) + " to " + text(call.to) + " is no interval");
  }
  if (call.logits.rows > 0 && (!call.lo || !call.hi || !call.open)) {
    refuse("head_path", "lo, hi or open is null");
  }
}

void check_metrics(const WmHeadMetrics& call) {
  check_logits(call.logits, "head_metrics");
  if (call.alpha_count > 0 && (!call.alphas || !call.sums)) {
    refuse("head_metrics", "alphas or sums are null");
  }
  if (call.logits.rows > 0 && (!call.lo || !call.hi || !call.open)) {
    refuse("head_metrics", "lo, hi or open is null");
  }
}

void check_moments(const WmHeadMoments& call) {
  check_logits(call.logits, "head_moments");
  if (!call.sums) refuse("head_moments", "sums are null");
}

}  // namespace wisemerge::cuda
