// Aligned and misaligned operands give the same bytes, sums and counts, with nothing else touched.
#include "core/arena_compute.h"

#include <cmath>
#include <cstring>
#include <random>

#include "check.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "error_code.h"
#include "wisemerge/lerp.h"

using namespace wisemerge;
using wisemerge::test::code_of;

namespace {

constexpr uint64_t kCount = kCompareSpan + 4099;  // two staged pieces, a partial block at the end
const std::vector<double> kAlphas = {0.0, 0.3, 1.0};
const int32_t kNotCancelled = 0;

struct Layout {
  uint64_t x, y;
  std::vector<uint64_t> outs;
};

// Random BF16 x, F32 y, some of them not finite; outputs in F32.
std::vector<uint8_t> make_arena(const Layout& at, size_t bytes) {
  std::mt19937 random(7);
  std::vector<uint8_t> arena(bytes + HostBuffer::kAlignment, 0xa5);
  for (uint64_t i = 0; i < kCount; i++) {
    const float value = static_cast<float>(random()) * 0x1p-31f - 1.0f;
    const uint16_t x = i % 1009 ? f32_to_bf16(value) : 0x7f80;
    const float y = i % 2003 ? value * 1.5f : NAN;
    std::memcpy(&arena[at.x + i * 2], &x, 2);
    std::memcpy(&arena[at.y + i * 4], &y, 4);
  }
  return arena;
}

LerpSegments lerp_segments(const Layout& at) {
  LerpSegments segments;
  segments.alpha_count = static_cast<uint32_t>(kAlphas.size());
  segments.rows = {{DType::kBF16, DType::kF32, DType::kF32, kCount, at.x, at.y}};
  segments.out_offsets = at.outs;
  return segments;
}

}  // namespace

TEST("arena: lerp is the element function wherever operands lie") {
  constexpr uint64_t kStride = kCount * 4 + 64;
  Engine engine(wisemerge_cpu_backend(), EngineOptions{});
  for (const uint64_t skew : {0, 1, 2, 3}) {
    for (int operand = 0; operand < 5; operand++) {
      const auto shift = [&](int which) { return which == operand ? skew : 0; };
      const Layout at{shift(0),
                      kStride + shift(1),
                      {2 * kStride + shift(2), 3 * kStride + shift(3), 4 * kStride + shift(4)}};
      auto arena = make_arena(at, 5 * kStride);
      const auto before = arena;
      const auto non_finite = lerp_arena(engine, arena.data(), lerp_segments(at), kAlphas, &kNotCancelled);
      auto expected = before;
      std::vector<uint64_t> expected_bad(kAlphas.size(), 0);
      for (uint64_t i = 0; i < kCount; i++) {
        uint16_t x;
        uint32_t y;
        std::memcpy(&x, &before[at.x + i * 2], 2);
        std::memcpy(&y, &before[at.y + i * 4], 4);
        for (size_t k = 0; k < kAlphas.size(); k++) {
          const uint32_t out = lerp_element<DType::kBF16, DType::kF32, DType::kF32>(x, y, kAlphas[k]);
          std::memcpy(&expected[at.outs[k] + i * 4], &out, 4);
          expected_bad[k] += Element<DType::kF32>::non_finite(out);
        }
      }
      CHECK(arena == expected);
      CHECK(non_finite == expected_bad);
    }
  }
}

TEST("arena: compare gives the same sums wherever operands lie") {
  constexpr uint64_t kStride = kCount * 4 + 64;
  Engine engine(wisemerge_cpu_backend(), EngineOptions{});
  std::vector<CompareSums> reference;
  for (const uint64_t skew : {0, 1, 2, 3}) {
    const Layout at{skew, kStride + skew, {}};
    const auto arena = make_arena(at, 2 * kStride);
    const std::vector<CompareSegment> segments = {{DType::kBF16, DType::kF32, kCount, at.x, at.y},
                                                  {DType::kBF16, DType::kF32, 0, 0, 0},
                                                  {DType::kBF16, DType::kF32, 5, at.x, at.y}};
    const auto sums = compare_arena(engine, arena.data(), segments, &kNotCancelled);
    CHECK_EQ(sums.size(), 3u);
    CHECK(sums[0].dd > 0 && sums[0].x_inf > 0 && sums[0].y_nan > 0);
    if (reference.empty()) reference = sums;
    CHECK(std::memcmp(reference.data(), sums.data(), sums.size() * sizeof(CompareSums)) == 0);
  }
}

TEST("engine: cancellation and closing are typed errors") {
  Engine engine(wisemerge_cpu_backend(), EngineOptions{});
  const int32_t cancelled = 1;
  const Layout at{0, kCount * 2, {kCount * 6, kCount * 10, kCount * 14}};
  auto arena = make_arena(at, kCount * 18);
  const auto lerp = [&](WmCancelFlag flag) {
    return code_of([&] { lerp_arena(engine, arena.data(), lerp_segments(at), kAlphas, flag); });
  };
  CHECK_EQ(lerp(&cancelled), "ERR_ABORTED");
  CHECK_EQ(lerp(&kNotCancelled), "none");
  engine.close();
  engine.close();
  CHECK_EQ(lerp(&kNotCancelled), "ERR_ENGINE_CLOSED");
}
