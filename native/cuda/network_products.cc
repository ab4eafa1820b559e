#include "cuda/network_products.h"

#include <algorithm>

#include "cuda/failure.h"
#include "cuda/head_launch.h"
#include "cuda/slot.h"
#include "cuda/tensor_matmul.h"

namespace wisemerge::cuda {
namespace {

// Weights that are interpolated at a time: 32 MiB stay in the L2 cache of the larger devices on their way
// into the product, and many tiles of columns keep all multiprocessors busy.
constexpr uint64_t kSliceFloats = 8u << 20;
// Logits of a slice of classes: 128 MiB.
constexpr uint64_t kLogitFloats = 32u << 20;

// Whole tiles of columns, at least one.
uint64_t slice_outputs(uint64_t inputs, uint64_t outputs) {
  const uint64_t tiles = kSliceFloats / std::max<uint64_t>(inputs, 1) / kMatmulTile;
  return std::min(outputs, std::max<uint64_t>(tiles, 1) * kMatmulTile);
}

uint64_t slice_classes(uint64_t rows, uint64_t classes) {
  const uint64_t blocks = kLogitFloats / std::max<uint64_t>(rows, 1) / network::kLossBlock;
  return std::min(classes, std::max<uint64_t>(blocks, 1) * network::kLossBlock);
}

uint64_t float_bytes(uint64_t count) { return slot_bytes(count * sizeof(float)); }

void interpolate(const Ends& ends, uint64_t first, uint64_t rows, uint64_t width, float* out,
                 cudaStream_t stream) {
  TableRows call{};
  call.table = ends;
  call.first = first;
  call.rows = rows;
  call.width = width;
  call.out = out;
  check(launch(call, stream), "launching an interpolation");
}

MatmulOperand operand(DType dtype, const void* data, uint64_t row_stride, uint64_t column_stride) {
  return {data, row_stride, column_stride, dtype};
}

const void* element(DType dtype, const void* data, uint64_t at) {
  return static_cast<const std::byte*>(data) + at * item_size(dtype);
}

void launch_product(const ProductRule& rule, const Matmul& product, cudaStream_t stream) {
  check(rule.fast ? launch_tensor(product, stream) : launch(product, stream), "launching a matrix product");
}

// What does not depend on the way.
Matmul product_of(const NetworkProduct& call, const float* bias) {
  Matmul product{};
  product.m = static_cast<uint32_t>(call.rows);
  product.n = static_cast<uint32_t>(call.outputs);
  product.k = static_cast<uint32_t>(call.inputs);
  product.a = operand(DType::kF32, call.x, call.inputs, 1);
  product.bias = bias;
  product.out = call.out;
  product.out_stride = call.outputs;
  return product;
}

// Rounded first: an alpha that is 0 or 1 in f32 takes one model as it is.
Ends plain(Ends weight) {
  if (weight.y && weight.alpha == 1) weight.x = weight.y, weight.x_dtype = weight.y_dtype;
  if (weight.alpha == 0 || weight.alpha == 1) weight.y = nullptr;
  return weight;
}

void fused_product(const ProductRule& rule, const NetworkProduct& call, const float* bias,
                   cudaStream_t stream) {
  const Ends weight = plain(call.weight);
  const uint64_t row_stride = call.transposed ? 1 : call.inputs;
  const uint64_t column_stride = call.transposed ? call.outputs : 1;
  const uint64_t at = call.first * call.inputs;
  Matmul product = product_of(call, bias);
  product.w0 = operand(weight.x_dtype, element(weight.x_dtype, weight.x, at), row_stride, column_stride);
  if (weight.y) {
    product.w1 = operand(weight.y_dtype, element(weight.y_dtype, weight.y, at), row_stride, column_stride);
    product.alpha = weight.alpha;
  }
  launch_product(rule, product, stream);
}

void scratch_product(const ProductRule& rule, const NetworkProduct& call, const float* bias, float* weights,
                     cudaStream_t stream) {
  const Ends weight = plain(call.weight);
  // Nothing to interpolate and nothing to widen.
  const bool there = rule.library && !weight.y && weight.x_dtype == DType::kF32;
  const uint64_t step = slice_outputs(call.inputs, call.outputs);
  for (uint64_t j = 0; j < call.outputs; j += step) {
    const uint64_t outputs = std::min(step, call.outputs - j);
    if (!there) interpolate(call.weight, call.first + j, outputs, call.inputs, weights, stream);
    const void* const w = there ? element(DType::kF32, weight.x, (call.first + j) * call.inputs) : weights;
    const float* const part = bias ? bias + j : nullptr;
    const LibraryProduct by_library = {call.rows,    call.inputs, outputs,
                                       call.outputs, call.x,      static_cast<const float*>(w),
                                       part,         call.out + j};
    if (rule.library && rule.library->product(by_library, stream)) continue;
    Matmul product = product_of(call, part);
    product.n = static_cast<uint32_t>(outputs);
    product.w0 = operand(DType::kF32, w, call.inputs, 1);
    product.out += j;
    launch_product(rule, product, stream);
  }
}

}  // namespace

uint64_t product_scratch(const ProductRule& rule, uint64_t rows, uint64_t inputs, uint64_t outputs) {
  const uint64_t weights = rule.scratch(rows) ? slice_outputs(inputs, outputs) * inputs : 0;
  return float_bytes(outputs) + float_bytes(weights);
}

void run_product(const ProductRule& rule, NetworkProduct call, std::byte* scratch, cudaStream_t stream) {
  auto* bias = reinterpret_cast<float*>(scratch);
  if (call.bias.x) {
    interpolate(call.bias, 0, 1, call.outputs, bias, stream);
  } else {
    bias = nullptr;
  }
  if ((call.weight.y || rule.library) && !call.transposed && rule.scratch(call.rows)) {
    scratch_product(rule, call, bias, reinterpret_cast<float*>(scratch + float_bytes(call.outputs)), stream);
  } else {
    fused_product(rule, call, bias, stream);
  }
}

uint64_t head_losses_scratch(const ProductRule& rule, uint64_t rows, uint64_t inputs, uint64_t classes) {
  const uint64_t step = slice_classes(rows, classes);
  return slot_bytes(rows * sizeof(network::LossRow)) + float_bytes(rows * step) +
         product_scratch(rule, rows, inputs, step);
}

void run_head_losses(const ProductRule& rule, const HeadLosses& call, std::byte* scratch,
                     cudaStream_t stream) {
  const uint64_t step = slice_classes(call.rows, call.classes);
  TokenLosses losses{};
  losses.rows = call.rows;
  losses.labels = call.labels;
  losses.state = reinterpret_cast<network::LossRow*>(scratch);
  scratch += slot_bytes(call.rows * sizeof(network::LossRow));
  auto* const logits = reinterpret_cast<float*>(scratch);
  losses.logits = logits;
  scratch += float_bytes(call.rows * step);
  NetworkProduct product{};
  product.rows = call.rows;
  product.inputs = call.inputs;
  product.x = call.x;
  product.weight = call.weight;
  product.out = logits;
  uint64_t first = 0;
  do {
    product.first = losses.first = first;
    product.outputs = losses.classes = std::min(step, call.classes - first);
    if (first + step >= call.classes) losses.out = call.out;
    run_product(rule, product, scratch, stream);
    check(launch(losses, stream), "launching the losses of tokens");
    first += step;
  } while (first < call.classes);
}

}  // namespace wisemerge::cuda
