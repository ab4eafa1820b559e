#include "cpu/matmul.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "wisemerge/lerp.h"

namespace wisemerge::cpu {
namespace {

// A block of w, kDepth deep, and one of a of kRows rows stay in the L2 cache; one tile's rows of a in the L1
// cache, while the block of w streams past them. A panel of w would fill the L1 cache, which another thread
// of the core may share.
constexpr size_t kDepth = 512;
constexpr size_t kPackedBytes = 768u << 10;
constexpr size_t kRows = 96;
// With more panels columns of a that are packed are read often enough to pay for packing them.
constexpr size_t kFewPanels = 4;
// Columns farther apart are on more pages than the TLB has.
constexpr size_t kFarStride = 256;
// A product of fewer multiply-adds is over before a thread wakes.
constexpr size_t kInlineProducts = 256u << 10;

size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

WmCode check(const WmMatmul& call, WmError* error) {
  if (!std::isfinite(call.alpha)) return fail(error, WM_INVALID_ARGUMENT, "matmul: alpha is %g", call.alpha);
  const uint64_t limit = uint64_t{1} << 40;
  if (call.m > limit || call.n > limit || call.k > limit || call.out_stride < call.n) {
    return fail(error, WM_INVALID_ARGUMENT, "matmul: sizes out of range");
  }
  WmCode code = check_matrix(call.a, "matmul", "a", call.m, call.k, error);
  if (code == WM_OK) code = check_matrix(call.w0, "matmul", "w0", call.n, call.k, error);
  if (code == WM_OK && call.alpha != 0) {
    code = check_matrix(call.w1, "matmul", "w1", call.n, call.k, error);
    if (code == WM_OK && call.w1.column_stride != call.w0.column_stride &&
        (call.w1.column_stride == 1 || call.w0.column_stride == 1)) {
      return fail(error, WM_INVALID_ARGUMENT, "matmul: w0 and w1 are laid out differently");
    }
    if (code == WM_OK && call.bias0 && !call.bias1) {
      return fail(error, WM_INVALID_ARGUMENT, "matmul: bias1 is null");
    }
  }
  if (code == WM_OK && !call.out && call.m * call.n > 0) {
    return fail(error, WM_INVALID_ARGUMENT, "matmul: out is null");
  }
  return code;
}

// Whether tiles read `a` where it lies: F32 that goes along the rows, which a tile reads as well as packed
// ones, or columns that are read so few times that packing would not pay.
bool stays_in_place(const WmMatrix& a, size_t panels) {
  if (static_cast<DType>(a.dtype) != DType::kF32) return false;
  return a.column_stride == 1 || (panels <= kFewPanels && a.column_stride <= kFarStride);
}

float bias_at(const WmMatmul& call, size_t j) {
  if (!call.bias0) return 0;
  const uint32_t x = bit_cast<uint32_t>(call.bias0[j]);
  const uint32_t y = call.alpha != 0 ? bit_cast<uint32_t>(call.bias1[j]) : x;
  // Rounded first, as the weights' alpha is: one that is 0 or 1 in f32 copies.
  const double alpha = static_cast<float>(call.alpha);
  return bit_cast<float>(lerp_element<DType::kF32, DType::kF32, DType::kF32>(x, y, alpha));
}

}  // namespace

WmCode check_matrix(const WmMatrix& matrix, const char* call, const char* name, uint64_t rows,
                    uint64_t columns, WmError* error) {
  const int32_t dtype = matrix.dtype;
  if (dtype != static_cast<int32_t>(DType::kF32) && dtype != static_cast<int32_t>(DType::kF16) &&
      dtype != static_cast<int32_t>(DType::kBF16)) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: dtype %d of %s is none of F32, F16, BF16", call,
                static_cast<int>(dtype), name);
  }
  if (!matrix.data && rows * columns > 0)
    return fail(error, WM_INVALID_ARGUMENT, "%s: %s is null", call, name);
  if (matrix.row_stride != 1 && matrix.column_stride != 1) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: %s has strides %llu and %llu; one must be 1", call, name,
                static_cast<unsigned long long>(matrix.row_stride),
                static_cast<unsigned long long>(matrix.column_stride));
  }
  if (reinterpret_cast<uintptr_t>(matrix.data) % item_size(static_cast<DType>(dtype)) != 0) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: %s is not aligned to its elements", call, name);
  }
  return WM_OK;
}

WmCode run_matmul(WmContext& context, const WmMatmul& call, WmCancelFlag cancelled, WmError* error) {
  const WmCode code = check(call, error);
  if (code != WM_OK) return code;
  if (call.m == 0 || call.n == 0) return WM_OK;

  const Kernels& kernels = *context.kernels;
  const size_t tile_rows = kernels.tile_rows, tile_columns = kernels.tile_columns;
  const size_t whole_depth = std::max<size_t>(call.k, 1),
               depth = ceil_div(whole_depth, ceil_div(whole_depth, kDepth));
  const size_t all_panels = ceil_div(call.n, tile_columns);
  const size_t panels =
      std::clamp<size_t>(kPackedBytes / sizeof(float) / (depth * tile_columns), 1, all_panels);
  const size_t rows = ceil_div(kRows, tile_rows) * tile_rows;
  const size_t row_blocks = ceil_div(call.m, rows);
  // Where rows are too few to share out, columns are: their blocks of a are packed more than once.
  const size_t wanted = 4 * static_cast<size_t>(context.pool.size());
  const size_t column_groups = std::clamp<size_t>(ceil_div(wanted, row_blocks), 1, panels);
  const float* const rows_in_place =
      stays_in_place(call.a, all_panels) ? static_cast<const float*>(call.a.data) : nullptr;
  const bool inline_call = call.m * call.n * std::max<uint64_t>(call.k, 1) < kInlineProducts;

  float* const start = context.packed.reserve((panels * depth + all_panels) * tile_columns);
  float* const packed = start + all_panels * tile_columns;
  for (size_t j = 0; j < all_panels * tile_columns; j++) start[j] = j < call.n ? bias_at(call, j) : 0;
  context.scratch.prepare(static_cast<size_t>(context.pool.size()), rows * depth);

  const auto share = [&](size_t units, const std::function<void(size_t, size_t)>& body) {
    context.pool.parallel_for(units, inline_call ? units : 1, body);
  };
  for (size_t first_panel = 0; first_panel < all_panels; first_panel += panels) {
    const size_t block_panels = std::min(panels, all_panels - first_panel);
    for (size_t l = 0; l < whole_depth; l += depth) {
      const size_t block_depth = std::min<size_t>(depth, call.k - l);
      share(block_panels, [&](size_t begin, size_t end) {
        for (size_t p = begin; p < end && !raised(cancelled); p++) {
          const size_t j = (first_panel + p) * tile_columns;
          kernels.matmul_pack(call.w0, &call.w1, static_cast<float>(call.alpha), j,
                              std::min<size_t>(tile_columns, call.n - j), l, block_depth, tile_columns,
                              packed + p * tile_columns * block_depth);
        }
      });
      const size_t group = ceil_div(block_panels, column_groups), groups = ceil_div(block_panels, group);
      share(row_blocks * groups, [&](size_t begin, size_t end) {
        const ThreadScratch::Loan loan(context.scratch);
        for (size_t unit = begin; unit < end && !raised(cancelled); unit++) {
          const size_t i0 = unit / groups * rows, block_rows = std::min<size_t>(rows, call.m - i0);
          const size_t unpacked = rows_in_place ? block_rows / tile_rows * tile_rows : 0;
          for (size_t i = unpacked; i < block_rows; i += tile_rows) {
            kernels.matmul_pack(call.a, nullptr, 0, i0 + i, std::min(tile_rows, block_rows - i), l,
                                block_depth, tile_rows, loan.data() + i * block_depth);
          }
          const size_t last = std::min(block_panels, (unit % groups + 1) * group);
          for (size_t i = 0; i < block_rows; i += tile_rows) {
            const bool in_place = i < unpacked;
            const size_t a_row = in_place ? call.a.row_stride : 1;
            const size_t a_column = in_place ? call.a.column_stride : tile_rows;
            const float* const a =
                in_place ? rows_in_place + (i0 + i) * a_row + l * a_column : loan.data() + i * block_depth;
            for (size_t p = unit % groups * group; p < last; p++) {
              const size_t j = (first_panel + p) * tile_columns;
              kernels.matmul_tile(a, a_row, a_column, packed + p * tile_columns * block_depth, block_depth,
                                  l == 0 ? start + j : nullptr, call.out + (i0 + i) * call.out_stride + j,
                                  call.out_stride, std::min(tile_rows, block_rows - i),
                                  std::min<size_t>(tile_columns, call.n - j));
            }
          }
        }
      });
      if (raised(cancelled)) return WM_CANCELLED;
    }
  }
  return WM_OK;
}

}  // namespace wisemerge::cpu
