// The bodies of the CUDA kernels, replayed on the host block by block and thread by thread, against the
// element functions.
#include <vector>

#include "check.h"
#include "cuda/kernels/compare_blocks.h"
#include "cuda/kernels/lerp_mixed.h"
#include "cuda_reference.h"

namespace wisemerge::test {
namespace {

using cuda::CompareSegment;
using cuda::GridPosition;
using cuda::LerpSegment;

const std::vector<double> kAlphas = {0.0, 0.5, 1.0, 0.3, -0.25, 1.75, 1e-60, 1e30};
constexpr unsigned char kPoison = 0xa5;

template <class Body>
void replay(uint32_t blocks, uint32_t threads, Body&& body) {
  for (uint32_t block = 0; block < blocks; block++) {
    for (uint32_t thread = 0; thread < threads; thread++) {
      body(GridPosition{block, blocks, thread, threads});
    }
  }
}

using LerpBody = void (*)(const GridPosition&, const LerpSegment*, uint32_t, uint32_t);

// Memory whose start is aligned to 256 bytes, as a device allocation is.
class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_(bytes + 512, kPoison) {}
  unsigned char* at(size_t offset) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(bytes_.data());
    return bytes_.data() + (256 - start % 256) + offset;
  }

 private:
  std::vector<unsigned char> bytes_;
};

// One tensor range with its own memory, each stream `shift` elements past an aligned address.
struct Tensor {
  Tensor(DType x, DType y, DType out, uint64_t elements, uint32_t x_shift, uint32_t y_shift,
         uint32_t out_shift)
      : x_dtype(x),
        y_dtype(y),
        out_dtype(out),
        count(elements),
        stride((elements + 3) * item_size(out)),
        x_memory((elements + x_shift) * item_size(x)),
        y_memory((elements + y_shift) * item_size(y)),
        out_memory(kAlphas.size() * stride + (out_shift + 8) * item_size(out)),
        non_finite(kAlphas.size()) {
    segment = {};
    segment.x = x_memory.at(x_shift * item_size(x));
    segment.y = y_memory.at(y_shift * item_size(y));
    segment.out = out_memory.at((out_shift + 4) * item_size(out));
    segment.out_stride = stride;
    segment.count = count;
    segment.alphas = kAlphas.data();
    segment.non_finite = non_finite.data();
    segment.alpha_count = static_cast<uint32_t>(kAlphas.size());
    segment.x_dtype = x;
    segment.y_dtype = y;
    segment.out_dtype = out;
    fill_weights(x, const_cast<void*>(segment.x), count, count * 3 + x_shift);
    fill_weights(y, const_cast<void*>(segment.y), count, count * 5 + y_shift + 1);
    if (x == y) copy_some(x, segment.x, const_cast<void*>(segment.y), count);
  }

  void check() {
    std::vector<unsigned char> wanted(stride);
    for (size_t k = 0; k < kAlphas.size(); k++) {
      std::fill(wanted.begin(), wanted.end(), kPoison);
      const uint64_t bad =
          reference_lerp(x_dtype, y_dtype, out_dtype, segment.x, segment.y, wanted.data(), count, kAlphas[k]);
      const auto* got = static_cast<unsigned char*>(segment.out) + k * stride;
      CHECK(std::memcmp(got, wanted.data(), stride) == 0);  // the poison behind the outputs included
      CHECK_EQ(non_finite[k], bad);
    }
    const auto* before = static_cast<unsigned char*>(segment.out) - 4 * item_size(out_dtype);
    for (size_t i = 0; i < 4 * item_size(out_dtype); i++) CHECK_EQ(before[i], kPoison);
  }

  DType x_dtype, y_dtype, out_dtype;
  uint64_t count;
  size_t stride;
  Memory x_memory, y_memory, out_memory;
  std::vector<uint64_t> non_finite;
  LerpSegment segment;
};

// Runs `tensors` as one launch on `blocks` blocks and checks each.
void launch(LerpBody body, uint32_t tile_elements, std::vector<Tensor>& tensors, uint32_t blocks) {
  std::vector<LerpSegment> segments;
  uint32_t tiles = 0;
  for (Tensor& tensor : tensors) {
    tensor.segment.first_tile = tiles;
    tiles += static_cast<uint32_t>((tensor.count + tile_elements - 1) / tile_elements);
    segments.push_back(tensor.segment);
  }
  replay(blocks, cuda::kLerpThreads, [&](const GridPosition& at) {
    body(at, segments.data(), static_cast<uint32_t>(segments.size()), tiles);
  });
  for (Tensor& tensor : tensors) tensor.check();
}

TEST("cuda replay: fused lerp, sizes around pack and tile, every alignment of the streams"){
#define X(x, y, out)                                                                               \
  {                                                                                                \
    constexpr uint32_t tile = cuda::kLerpTileElements<DType::x, DType::y, DType::out>;             \
    for (const uint64_t count : {1u, 2u, 7u, 8u, 15u, 17u, 257u, tile - 1, tile, 2 * tile + 13}) { \
      for (const uint32_t shift : {0u, 1u, 3u}) {                                                  \
        std::vector<Tensor> tensors;                                                               \
        tensors.emplace_back(DType::x, DType::y, DType::out, count, shift, shift, shift);          \
        tensors.emplace_back(DType::x, DType::y, DType::out, count, shift, 0, 2);                  \
        launch(cuda::lerp_body<DType::x, DType::y, DType::out>, tile, tensors, 3);                 \
      }                                                                                            \
    }                                                                                              \
  }
    WM_FUSED_LERPS(X)
#undef X
}

TEST("cuda replay: one launch over a table of 60 tensors") {
  constexpr uint32_t tile = cuda::kLerpTileElements<DType::kBF16, DType::kBF16, DType::kBF16>;
  std::vector<Tensor> tensors;
  for (uint32_t i = 0; i < 60; i++) {
    const uint64_t count = 1 + Random(i).next() % (i % 7 == 0 ? 3 * tile : 900);
    tensors.emplace_back(DType::kBF16, DType::kBF16, DType::kBF16, count, i % 8, i % 3, i % 5);
  }
  launch(cuda::lerp_body<DType::kBF16, DType::kBF16, DType::kBF16>, tile, tensors, 7);
}

TEST("cuda replay: mixed lerp, every dtype triple that has no kernel of its own") {
  for (const DType x : kFloatDTypes) {
    for (const DType y : kFloatDTypes) {
      for (const DType out : kFloatDTypes) {
        if (x == y && y == out) continue;
        std::vector<Tensor> tensors;
        tensors.emplace_back(x, y, out, cuda::kMixedTileElements + 37, 1, 0, 3);
        tensors.emplace_back(x, y, out, 5, 0, 2, 1);
        const bool wide = x == DType::kF64 || y == DType::kF64;
        launch(wide ? cuda::lerp_mixed_body<double> : cuda::lerp_mixed_body<float>, cuda::kMixedTileElements,
               tensors, 2);
      }
    }
  }
}

template <DType D>
void every_code_at_every_alpha() {
  // Every code against itself, its successor and a code far away.
  for (const uint32_t step : {0u, 1u, 0x8000u, 0x1234u, 0x7f01u}) {
    std::vector<Tensor> tensors;
    tensors.emplace_back(D, D, D, 65536, 0, 0, 0);
    auto* x = static_cast<uint16_t*>(const_cast<void*>(tensors[0].segment.x));
    auto* y = static_cast<uint16_t*>(const_cast<void*>(tensors[0].segment.y));
    for (uint32_t code = 0; code < 65536; code++) {
      x[code] = static_cast<uint16_t>(code);
      y[code] = static_cast<uint16_t>(code + step);
    }
    launch(cuda::lerp_body<D, D, D>, cuda::kLerpTileElements<D, D, D>, tensors, 16);
  }
}

TEST("cuda replay: all 65536 BF16 codes") { every_code_at_every_alpha<DType::kBF16>(); }
TEST("cuda replay: all 65536 F16 codes") { every_code_at_every_alpha<DType::kF16>(); }

TEST("cuda replay: the two-in-a-word tests see what the element functions see") {
  for (uint32_t code = 0; code < 65536; code++) {
    const auto bits = static_cast<uint16_t>(code);
    for (const uint32_t other : {0x0000u, 0x3f80u, 0xffffu}) {
      const bool bf16 = Element<DType::kBF16>::non_finite(bits) ||
                        Element<DType::kBF16>::non_finite(static_cast<uint16_t>(other));
      const bool f16 = Element<DType::kF16>::non_finite(bits) ||
                       Element<DType::kF16>::non_finite(static_cast<uint16_t>(other));
      CHECK_EQ(cuda::non_finite_halves<DType::kBF16>(code | other << 16) != 0, bf16);
      CHECK_EQ(cuda::non_finite_halves<DType::kBF16>(code << 16 | other) != 0, bf16);
      CHECK_EQ(cuda::non_finite_halves<DType::kF16>(code | other << 16) != 0, f16);
      CHECK_EQ(cuda::non_finite_halves<DType::kF16>(code << 16 | other) != 0, f16);
    }
    CHECK_EQ(cuda::equal_halves(code | 0x12340000u, 0x12345678u), code == 0x5678u ? ~0u : 0xffff0000u);
    CHECK_EQ(cuda::equal_halves(code << 16 | 0x1234u, 0x56781234u), code == 0x5678u ? ~0u : 0x0000ffffu);
  }
}

// The phases of the comparison as the kernels order them; the shuffles of a warp are a loop here.
std::vector<CompareSums> replay_compare(CompareSegment segment) {
  std::vector<CompareSums> blocks(cuda::compare_block_count(segment.count));
  std::vector<CompareSums> spans(cuda::compare_span_count(segment.count));
  segment.blocks = blocks.data();
  segment.spans = spans.data();
  for (uint32_t block = 0; block < blocks.size(); block++) {
    CompareSums lanes[kCompareLanes];
    for (uint32_t lane = 0; lane < kCompareLanes; lane++) {
      lanes[lane] = with_dtype(segment.x_dtype, [&]<DType D>() {
        return segment.x_dtype == segment.y_dtype ? cuda::compare_lane<D, D>(segment, block, lane)
                                                  : cuda::compare_lane_mixed(segment, block, lane);
      });
    }
    // All lanes at once, as __shfl_down_sync does: past the end a lane reads itself.
    for (uint32_t step = kCompareLanes / 2; step > 0; step /= 2) {
      CompareSums before[kCompareLanes];
      std::copy(lanes, lanes + kCompareLanes, before);
      for (uint32_t lane = 0; lane < kCompareLanes; lane++) {
        compare_add(lanes[lane], before[lane + step < kCompareLanes ? lane + step : lane]);
      }
    }
    blocks[block] = lanes[0];
  }
  for (uint32_t span = 0; span < spans.size(); span++) cuda::compare_span(segment, span);
  return spans;
}

void check_compare(DType x_dtype, DType y_dtype, uint64_t count) {
  std::vector<uint64_t> x(count + 1), y(count + 1);  // 8 bytes hold any element
  CompareSegment segment{};
  segment.x = reinterpret_cast<char*>(x.data()) + item_size(x_dtype);
  segment.y = reinterpret_cast<char*>(y.data()) + item_size(y_dtype);
  segment.count = count;
  segment.x_dtype = x_dtype;
  segment.y_dtype = y_dtype;
  fill_weights(x_dtype, const_cast<void*>(segment.x), count, count);
  fill_weights(y_dtype, const_cast<void*>(segment.y), count, count + 1);
  if (x_dtype == y_dtype) copy_some(x_dtype, segment.x, const_cast<void*>(segment.y), count);
  const std::vector<CompareSums> got = replay_compare(segment);
  const std::vector<CompareSums> wanted = reference_compare(x_dtype, y_dtype, segment.x, segment.y, count);
  CHECK_EQ(got.size(), wanted.size());
  CHECK(std::memcmp(got.data(), wanted.data(), got.size() * sizeof(CompareSums)) == 0);
}

TEST("cuda replay: comparison of every dtype pair, odd sizes") {
  for (const DType x : kFloatDTypes) {
    for (const DType y : kFloatDTypes) {
      for (const uint64_t count :
           {1u, 31u, 33u, 255u, kCompareBlock - 1, kCompareBlock, 3 * kCompareBlock + 77}) {
        check_compare(x, y, count);
      }
    }
  }
}

TEST("cuda replay: comparison across spans") {
  check_compare(DType::kBF16, DType::kBF16, 2 * kCompareSpan + kCompareBlock + 5);
  check_compare(DType::kF32, DType::kF16, kCompareSpan + 1);
}

}  // namespace
}  // namespace wisemerge::test
