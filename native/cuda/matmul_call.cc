// WmMatmul on the device: a block of columns of the weights is uploaded and stays, the rows of `a` stream
// past it through the slots.
#include <algorithm>
#include <string>
#include <vector>

#include "cuda/calls.h"
#include "cuda/head_arguments.h"
#include "cuda/head_launch.h"
#include "cuda/lines.h"
#include "cuda/tensor_matmul.h"
#include "cuda/workspace.h"

namespace wisemerge::cuda {
namespace {

// Weights on the device at a time, of both models; at least one tile of columns.
constexpr uint64_t kWeightBytes = 256u << 20;
// Up to this depth half a slot holds a line of each step of a transposed matrix, and many of any other.
constexpr uint64_t kMaxDepth = Slot::kInputBytes / 2 / Slot::kAlignment;
constexpr uint64_t kMaxColumns = 1u << 20;  // of a block: its biases, and a row of its output, are 4 MiB
constexpr uint64_t kMaxRows = 1u << 20;     // of a chunk: tiles stay below the grid limit

// Part of a matrix, one line per row or per column, whichever is contiguous.
struct Part {
  Lines lines;
  uint64_t count;
  bool by_rows;
};

size_t element_size(const WmMatrix& matrix) { return item_size(static_cast<DType>(matrix.dtype)); }

Part part_of(const WmMatrix& matrix, uint64_t row, uint64_t rows, uint64_t columns) {
  const size_t size = element_size(matrix);
  const char* const first = static_cast<const char*>(matrix.data) + row * matrix.row_stride * size;
  if (matrix.column_stride == 1) return {{first, matrix.row_stride * size, columns * size}, rows, true};
  return {{first, matrix.column_stride * size, rows * size}, columns, false};
}

MatmulOperand operand(const WmMatrix& matrix, const void* device, uint64_t pitch_bytes, bool by_rows) {
  const uint64_t pitch = pitch_bytes / element_size(matrix);
  return {device, by_rows ? pitch : 1, by_rows ? 1 : pitch, static_cast<DType>(matrix.dtype)};
}

// Lines of device memory start aligned, so that quads of them are.
uint64_t weight_pitch(const Part& part) { return (part.lines.bytes + 15) / 16 * 16; }

// Copies the part to `to` through the slots; false if cancelled.
bool upload(WmContext& context, const Part& part, std::byte* to, WmCancelFlag cancelled) {
  const uint64_t pitch = weight_pitch(part);
  for (uint64_t line = 0; line < part.count && part.lines.bytes > 0;) {
    if (raised(cancelled)) return false;
    Slot& slot = context.next_slot();
    const uint64_t count = std::min(part.count - line, lines_fitting(part.lines, slot.input_room()));
    const void* const from = place_lines(slot, part.lines, line, count);
    slot.submit([&](cudaStream_t stream) {
      check(cudaMemcpy2DAsync(to + line * pitch, pitch, from, part.lines.pitch(), part.lines.bytes, count,
                              cudaMemcpyDeviceToDevice, stream),
            "copying weights on the device");
    });
    line += count;
  }
  return true;
}

// The interpolated bias of every column, as the CPU rounds it.
std::vector<float> biases(const WmMatmul& call) {
  std::vector<float> all(call.bias0 ? call.n : 0);
  const double alpha = static_cast<float>(call.alpha);
  for (size_t j = 0; j < all.size(); j++) {
    const uint32_t x = bit_cast<uint32_t>(call.bias0[j]);
    const uint32_t y = call.alpha != 0 ? bit_cast<uint32_t>(call.bias1[j]) : x;
    all[j] = bit_cast<float>(lerp_element<DType::kF32, DType::kF32, DType::kF32>(x, y, alpha));
  }
  return all;
}

// The rows of the next chunk: as many as input and output have room for.
uint64_t rows_fitting(const Slot& slot, const WmMatmul& call, uint64_t left, uint64_t columns) {
  const uint64_t rows = std::min({left, kMaxRows, slot.output_room() / (columns * sizeof(float))});
  if (call.k == 0) return rows;
  if (call.a.column_stride == 1) {
    return std::min(rows, lines_fitting(part_of(call.a, 0, left, call.k).lines, slot.input_room()));
  }
  // One line per step of the depth, none of which has more room than its share.
  const uint64_t share =
      (slot.input_room() - Slot::kAlignment) / call.k / Slot::kAlignment * Slot::kAlignment;
  return std::min(rows, share / element_size(call.a));
}

}  // namespace

WmCode run_matmul(WmContext& context, const WmMatmul& call, WmCancelFlag cancelled) {
  check_matmul(call);
  if (call.k > kMaxDepth) {
    throw Failure{WM_INVALID_ARGUMENT, 0,
                  "matmul: a depth of " + std::to_string(call.k) + " exceeds the " +
                      std::to_string(kMaxDepth) + " of the CUDA backend; compute it on the CPU"};
  }
  if (call.m == 0 || call.n == 0) return WM_OK;

  // Rounded first: an alpha that is 0 or 1 in f32 takes one model as it is.
  const float alpha = static_cast<float>(call.alpha);
  const bool both = alpha != 0 && alpha != 1;
  const WmMatrix& w0 = alpha == 1 ? call.w1 : call.w0;
  const uint64_t column_bytes =
      std::max<uint64_t>(1, call.k * (element_size(w0) + (both ? element_size(call.w1) : 0)));
  const uint64_t tiles =
      std::clamp<uint64_t>(kWeightBytes / column_bytes / kMatmulTile, 1, kMaxColumns / kMatmulTile);
  const uint64_t block = std::min<uint64_t>(call.n, tiles * kMatmulTile);

  const bool fast = context.precision() != WM_EXACT;
  const std::vector<float> bias = biases(call);
  const auto bytes_of = [&](const WmMatrix& matrix) {
    const Part part = part_of(matrix, 0, block, call.k);
    return slot_bytes(part.count * weight_pitch(part));
  };
  const size_t w0_bytes = bytes_of(w0), w1_bytes = both ? bytes_of(call.w1) : 0;
  const Workspace weights(context, w0_bytes + w1_bytes);
  for (uint64_t j = 0; j < call.n; j += block) {
    const uint64_t columns = std::min(block, call.n - j);
    Matmul product{};
    product.n = static_cast<uint32_t>(columns);
    product.k = static_cast<uint32_t>(call.k);
    product.alpha = alpha;
    const auto resident = [&](const WmMatrix& matrix, std::byte* to, MatmulOperand& into) {
      const Part part = part_of(matrix, j, columns, call.k);
      into = operand(matrix, to, weight_pitch(part), part.by_rows);
      return upload(context, part, to, cancelled);
    };
    if (!resident(w0, weights.get(), product.w0)) return WM_CANCELLED;
    if (both && !resident(call.w1, weights.get() + w0_bytes, product.w1)) return WM_CANCELLED;

    for (uint64_t i = 0; i < call.m;) {
      if (raised(cancelled)) return WM_CANCELLED;
      Slot& slot = context.next_slot();
      if (!bias.empty()) {
        product.bias = static_cast<const float*>(slot.input(bias.data() + j, columns * sizeof(float)));
      }
      const uint64_t rows = rows_fitting(slot, call, call.m - i, columns);
      const Part part = part_of(call.a, i, rows, call.k);
      product.m = static_cast<uint32_t>(rows);
      product.a = operand(call.a, nullptr, part.lines.pitch(), part.by_rows);
      if (call.k > 0) product.a.data = place_lines(slot, part.lines, 0, part.count);
      product.out_stride = columns;
      product.out =
          static_cast<float*>(slot.output(call.out + i * call.out_stride + j, columns * sizeof(float),
                                          call.out_stride * sizeof(float), rows));
      slot.submit([&](cudaStream_t stream) {
        check(fast ? launch_tensor(product, stream) : launch(product, stream), "launching a matrix product");
      });
      i += rows;
    }
  }
  context.finish();
  return WM_OK;
}

}  // namespace wisemerge::cuda
