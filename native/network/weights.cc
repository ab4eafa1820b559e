#include "network/weights.h"

#include <algorithm>

namespace wisemerge::network {
namespace {

// Weights that are interpolated at a time: they stay in the cache of the last level for the product.
constexpr uint64_t kSliceFloats = 1u << 20;
// From here on a product hides its packing, and interpolates while it packs at no cost. Below, the
// elementwise kernel is faster at it: 1.15 times at 32 rows, 1.06 at 256 (bench: networks).
constexpr uint64_t kFusedRows = 1024;
constexpr int32_t kF32 = static_cast<int32_t>(DType::kF32);

const void* at(const void* data, DType dtype, uint64_t element) {
  return static_cast<const uint8_t*>(data) + element * item_size(dtype);
}

// The ends of the path without what does not count at alpha: at 0 and 1, and where both models have the same
// bytes, a parameter is one tensor.
struct Ends {
  DType dtype0, dtype1;
  const void *x, *y;
  double alpha;

  Ends(const Parameter& parameter, double given)
      : dtype0(parameter.zeroshot_dtype),
        dtype1(parameter.finetuned_dtype),
        x(parameter.zeroshot),
        y(parameter.finetuned),
        alpha(given) {
    if (!y || alpha == 0) {
      y = x;
      dtype1 = dtype0;
      alpha = 0;
    } else if (alpha == 1) {
      x = y;
      dtype0 = dtype1;
      alpha = 0;
    }
  }
};

WmLerp lerp_call(const Ends& ends, uint64_t first, uint64_t count, void* const* out, uint64_t* non_finite) {
  return {static_cast<int32_t>(ends.dtype0), static_cast<int32_t>(ends.dtype1), kF32,        1,   count,
          at(ends.x, ends.dtype0, first),    at(ends.y, ends.dtype1, first),    &ends.alpha, out, non_finite};
}

WmMatrix matrix(DType dtype, const void* data, uint64_t row_stride, uint64_t column_stride) {
  return {static_cast<int32_t>(dtype), data, row_stride, column_stride};
}

}  // namespace

const float* Weights::whole(size_t slot, uint32_t parameter, double alpha, WmCancelFlag cancelled) {
  if (parameter == kNone) return nullptr;
  const Parameter& given = parameters_[parameter];
  const Ends ends(given, alpha);
  if (ends.alpha == 0 && ends.dtype0 == DType::kF32) return static_cast<const float*>(ends.x);
  void* const out = vectors_[slot].reserve(given.count);
  uint64_t non_finite;
  engine_.lerp({lerp_call(ends, 0, given.count, &out, &non_finite)}, cancelled);
  return static_cast<const float*>(out);
}

void Weights::rows(uint32_t parameter, double alpha, const int32_t* ids, uint64_t rows, uint64_t width,
                   float* out, WmCancelFlag cancelled) {
  const Ends ends(parameters_[parameter], alpha);
  std::vector<void*> outs(rows);
  std::vector<uint64_t> non_finite(rows);
  std::vector<WmLerp> items;
  items.reserve(rows);
  for (uint64_t i = 0; i < rows; i++) {
    outs[i] = out + i * width;
    items.push_back(lerp_call(ends, static_cast<uint64_t>(ids[i]) * width, width, &outs[i], &non_finite[i]));
  }
  engine_.lerp(items, cancelled);
}

void Weights::product(const Product& call, uint32_t weight, double alpha, uint32_t bias, double bias_alpha,
                      WmCancelFlag cancelled) {
  product_of(call, parameters_[weight], 0, alpha, whole(0, bias, bias_alpha, cancelled), cancelled);
}

void Weights::slices(const Product& call, uint32_t weight, double alpha, uint64_t multiple,
                     const SliceBody& body, WmCancelFlag cancelled) {
  const uint64_t wanted = kSliceFloats / std::max<uint64_t>(call.inputs, 1) / multiple * multiple;
  const uint64_t step = std::max(wanted, multiple);
  for (uint64_t first = 0; first < call.outputs; first += step) {
    Product slice = call;
    slice.outputs = std::min(step, call.outputs - first);
    slice.out = logits_.reserve(call.rows * step);
    product_of(slice, parameters_[weight], first, alpha, nullptr, cancelled);
    body(slice.out, first, slice.outputs);
  }
}

void Weights::product_of(const Product& call, const Parameter& weight, uint64_t first, double alpha,
                         const float* bias, WmCancelFlag cancelled) {
  const Ends ends(weight, alpha);
  const bool scratch = way_ == ProductWay::kScratch || (way_ == ProductWay::kAuto && call.rows < kFusedRows);
  if (scratch && ends.alpha != 0 && !call.transposed) {
    return product_by_slices(call, weight, first, alpha, bias, cancelled);
  }
  const uint64_t row_stride = call.transposed ? 1 : call.inputs;
  const uint64_t column_stride = call.transposed ? call.outputs : 1;
  WmMatmul product{};
  product.m = call.rows;
  product.n = call.outputs;
  product.k = call.inputs;
  product.a = matrix(DType::kF32, call.x, call.inputs, 1);
  product.w0 = matrix(ends.dtype0, at(ends.x, ends.dtype0, first * call.inputs), row_stride, column_stride);
  product.w1 = matrix(ends.dtype1, at(ends.y, ends.dtype1, first * call.inputs), row_stride, column_stride);
  product.alpha = ends.alpha;
  product.bias0 = product.bias1 = bias;
  product.out = call.out;
  product.out_stride = call.outputs;
  engine_.matmul(product, cancelled);
}

void Weights::product_by_slices(const Product& call, const Parameter& weight, uint64_t first, double alpha,
                                const float* bias, WmCancelFlag cancelled) {
  const Ends ends(weight, alpha);
  const uint64_t step =
      std::clamp<uint64_t>(kSliceFloats / std::max<uint64_t>(call.inputs, 1), 1, call.outputs);
  for (uint64_t j = 0; j < call.outputs; j += step) {
    const uint64_t outputs = std::min(step, call.outputs - j);
    void* const slice = slice_.reserve(step * call.inputs);
    uint64_t non_finite;
    engine_.lerp({lerp_call(ends, (first + j) * call.inputs, outputs * call.inputs, &slice, &non_finite)},
                 cancelled);
    WmMatmul product{};
    product.m = call.rows;
    product.n = outputs;
    product.k = call.inputs;
    product.a = matrix(DType::kF32, call.x, call.inputs, 1);
    product.w0 = matrix(DType::kF32, slice, call.inputs, 1);
    product.bias0 = bias ? bias + j : nullptr;
    product.out = call.out + j;
    product.out_stride = call.outputs;
    engine_.matmul(product, cancelled);
  }
}

}  // namespace wisemerge::network
