// The interpolation kernels of every SIMD level: against the element function for all dtype triples, and
// against the oracle.
#include <cmath>
#include <cstdlib>
#include <memory>
#include <utility>

#include "check.h"
#include "lerp_fixture.h"
#include "oracle.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

// Every size up to a few vectors and one of several blocks, at two alignments, streaming or not.
void check_triple(DType xd, DType yd, DType od) {
  const size_t kLargest = 2100;
  const auto [xs, ys] =
      sample_pair(xd, yd, kLargest, 17 + static_cast<uint64_t>(xd) * 100 + static_cast<uint64_t>(yd));
  std::vector<size_t> counts = {1001, kLargest};
  for (size_t count = 0; count <= 70; count++) counts.push_back(count);
  const ElementFn reference = find_element(xd, yd, od);
  for (double alpha : kAlphas) {
    std::vector<uint64_t> expected(kLargest), specials(kLargest + 1);
    for (size_t i = 0; i < kLargest; i++) {
      expected[i] = reference(xs[i], ys[i], alpha);
      specials[i + 1] = specials[i] + !format_of(od).is_finite(expected[i]);
    }
    for (const cpu::Kernels* kernels : levels()) {
      for (size_t skew : {0, 3}) {
        Tensor x(xd, xs, skew), y(yd, ys, 2 * skew);
        for (size_t count : counts) {
          for (bool stream : {false, true}) {
            Tensor out(od, count, 5 * skew);
            void* outs[] = {out.data()};
            uint64_t non_finite = 0;
            const WmLerp item = make_item(xd, yd, od, count, x.data(), y.data(), &alpha, outs, &non_finite);
            kernels->lerp(item, 0, count, stream, &non_finite);
            for (size_t i = 0; i < count; i++) {
              if (out[i] == expected[i]) continue;
              fail(__FILE__, __LINE__, describe(kernels->isa, xd, yd, od, alpha, i, out[i], expected[i]));
            }
            CHECK_EQ(non_finite, specials[count]);
            CHECK(out.guards_intact());
          }
        }
      }
    }
  }
}

}  // namespace

TEST("lerp: every level equals the element function for all dtype triples") {
  for (DType x : kFloatDTypes) {
    for (DType y : kFloatDTypes) {
      for (DType out : kFloatDTypes) check_triple(x, y, out);
    }
  }
}

TEST("lerp: exact arithmetic agrees, one rounding to f32 and one to the output") {
  const size_t count = 6000;
  for (DType dtype : {DType::kBF16, DType::kF16, DType::kF32, DType::kF8E5M2, DType::kF8E4M3}) {
    const Format f = format_of(dtype);
    const auto [xs, ys] = sample_pair(dtype, dtype, count, 99);
    for (double alpha : {0.37, -0.75, 1.5, 0.1}) {
      const uint64_t alpha32 = convert(kFormatF64, bit_cast<uint64_t>(alpha), kFormatF32);
      Tensor x(dtype, xs, 0), y(dtype, ys, 1);
      for (const cpu::Kernels* kernels : levels()) {
        Tensor out(dtype, count, 0);
        void* outs[] = {out.data()};
        uint64_t non_finite = 0;
        const WmLerp item =
            make_item(dtype, dtype, dtype, count, x.data(), y.data(), &alpha, outs, &non_finite);
        kernels->lerp(item, 0, count, true, &non_finite);
        for (size_t i = 0; i < count; i++) {
          if (xs[i] == ys[i]) {
            CHECK_EQ(out[i], xs[i]);
          } else if (f.is_finite(xs[i]) && f.is_finite(ys[i])) {
            uint64_t expected;
            if (!lerp_exact<ExactF32>(kFormatF32, convert(f, xs[i], kFormatF32),
                                      convert(f, ys[i], kFormatF32), alpha32, &expected)) {
              continue;
            }
            if (kFormatF32.is_infinite(expected)) {
              CHECK_EQ(out[i],
                       expected >> 31 << (f.bits() - 1) | (f.infinity ? f.infinity_code() : f.first_nan()));
            } else {
              CHECK_EQ(out[i], convert(kFormatF32, expected, f));
            }
          } else {
            // A NaN wherever either is one or infinities cancel; E4M3 has only NaN to say so.
            const bool nan = f.is_nan(xs[i]) || f.is_nan(ys[i]);
            CHECK(!f.is_finite(out[i]));
            if (nan) CHECK(f.is_nan(out[i]));
          }
        }
      }
    }
  }
}

TEST("lerp: F64 agrees with exact arithmetic") {
  const size_t count = 3000;
  const auto [xs, ys] = sample_pair(DType::kF64, DType::kF64, count, 5);
  Tensor x(DType::kF64, xs, 0), y(DType::kF64, ys, 0);
  for (double alpha : {0.37, -1.25}) {
    for (const cpu::Kernels* kernels : levels()) {
      Tensor out(DType::kF64, count, 0);
      void* outs[] = {out.data()};
      uint64_t non_finite = 0;
      kernels->lerp(make_item(DType::kF64, DType::kF64, DType::kF64, count, x.data(), y.data(), &alpha, outs,
                              &non_finite),
                    0, count, false, &non_finite);
      for (size_t i = 0; i < count; i++) {
        uint64_t expected = xs[i];
        const bool finite = kFormatF64.is_finite(xs[i]) && kFormatF64.is_finite(ys[i]);
        if (xs[i] == ys[i] || (finite && lerp_exact<ExactF64>(kFormatF64, xs[i], ys[i],
                                                              bit_cast<uint64_t>(alpha), &expected))) {
          CHECK_EQ(out[i], expected);
        } else {
          CHECK(!kFormatF64.is_finite(out[i]));
        }
      }
    }
  }
}
