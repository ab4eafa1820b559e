// The specification run directly, element by element, with dtypes at run time; and data to try it on. Shared
// by the host replay of the kernels and by the parity program on a device.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "wisemerge/compare.h"
#include "wisemerge/lerp.h"

namespace wisemerge::test {

inline constexpr DType kFloatDTypes[] = {DType::kF8E5M2, DType::kF8E4M3, DType::kF16,
                                         DType::kBF16,   DType::kF32,    DType::kF64};

// Calls fn.template operator()<D>() for the D that `dtype` is.
template <class Fn>
auto with_dtype(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::kF8E5M2:
      return fn.template operator()<DType::kF8E5M2>();
    case DType::kF8E4M3:
      return fn.template operator()<DType::kF8E4M3>();
    case DType::kF16:
      return fn.template operator()<DType::kF16>();
    case DType::kBF16:
      return fn.template operator()<DType::kBF16>();
    case DType::kF32:
      return fn.template operator()<DType::kF32>();
    default:
      return fn.template operator()<DType::kF64>();
  }
}

// lerp_element over `count` elements; returns the number of NaN and infinite results.
inline uint64_t reference_lerp(DType x_dtype, DType y_dtype, DType out_dtype, const void* x, const void* y,
                               void* out, uint64_t count, double alpha) {
  return with_dtype(x_dtype, [&]<DType X>() {
    return with_dtype(y_dtype, [&]<DType Y>() {
      return with_dtype(out_dtype, [&]<DType Out>() {
        const auto* xs = static_cast<const typename Element<X>::Bits*>(x);
        const auto* ys = static_cast<const typename Element<Y>::Bits*>(y);
        auto* outs = static_cast<typename Element<Out>::Bits*>(out);
        uint64_t non_finite = 0;
        for (uint64_t i = 0; i < count; i++) {
          outs[i] = lerp_element<X, Y, Out>(xs[i], ys[i], alpha);
          non_finite += Element<Out>::non_finite(outs[i]);
        }
        return non_finite;
      });
    });
  });
}

// The reduction as compare.h words it, one CompareSums per span.
inline std::vector<CompareSums> reference_compare(DType x_dtype, DType y_dtype, const void* x, const void* y,
                                                  uint64_t count) {
  return with_dtype(x_dtype, [&]<DType X>() {
    return with_dtype(y_dtype, [&]<DType Y>() {
      const auto* xs = static_cast<const typename Element<X>::Bits*>(x);
      const auto* ys = static_cast<const typename Element<Y>::Bits*>(y);
      std::vector<CompareSums> spans;
      for (uint64_t span = 0; span < count; span += kCompareSpan) {
        CompareSums sums;
        const uint64_t span_end = std::min<uint64_t>(count, span + kCompareSpan);
        for (uint64_t block = span; block < span_end; block += kCompareBlock) {
          CompareSums lanes[kCompareLanes];
          const uint64_t block_end = std::min<uint64_t>(span_end, block + kCompareBlock);
          for (uint64_t i = block; i < block_end; i++) {
            compare_element<X, Y>(lanes[(i - block) % kCompareLanes], xs[i], ys[i]);
          }
          for (uint32_t step = kCompareLanes / 2; step > 0; step /= 2) {
            for (uint32_t lane = 0; lane < step; lane++) compare_add(lanes[lane], lanes[lane + step]);
          }
          compare_add(sums, lanes[0]);
        }
        spans.push_back(sums);
      }
      return spans;
    });
  });
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  // splitmix64
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// Weights around 1; one in sixteen is any bit pattern at all, one in 64 a NaN of any payload or an infinity.
inline void fill_weights(DType dtype, void* to, uint64_t count, uint64_t seed) {
  with_dtype(dtype, [&]<DType D>() {
    using Bits = typename Element<D>::Bits;
    Random random(seed);
    const Bits infinity = Element<D>::store64(bit_cast<double>(0x7ff0000000000000ull));
    auto* elements = static_cast<Bits*>(to);
    for (uint64_t i = 0; i < count; i++) {
      const uint64_t bits = random.next();
      if (bits % 16 == 0) {
        elements[i] = static_cast<Bits>(random.next());
      } else if (bits % 64 == 1) {
        elements[i] = infinity | static_cast<Bits>(random.next());
      } else {
        elements[i] = Element<D>::store64(static_cast<double>(static_cast<int64_t>(bits)) * 0x1p-62);
      }
    }
  });
}

// Makes one element in eight of `y` equal to the one of `x`, as fine-tuning leaves weights untouched.
inline void copy_some(DType dtype, const void* x, void* y, uint64_t count) {
  const size_t size = item_size(dtype);
  for (uint64_t i = 0; i < count; i += 8) {
    std::memcpy(static_cast<char*>(y) + i * size, static_cast<const char*>(x) + i * size, size);
  }
}

// The values at which a conversion can go wrong.
inline void fill_special(DType dtype, void* to, uint64_t count, uint64_t seed) {
  static constexpr double kSpecial[] = {0.0,
                                        -0.0,
                                        1.0,
                                        -1.0,
                                        0x1p-149,
                                        -0x1p-149,
                                        0x1p-133,
                                        0x1p-126,
                                        0x1.fffffep-127,
                                        0x1p-24,
                                        0x1p-25,
                                        0x1p-14,
                                        0x1.ffp-15,
                                        65504.0,
                                        65520.0,
                                        65519.99609375,
                                        448.0,
                                        464.0,
                                        480.0,
                                        57344.0,
                                        61440.0,
                                        0x1p-9,
                                        0x1p-10,
                                        0x1p-16,
                                        0x1p-17,
                                        0x1p127,
                                        0x1.fffffep127,
                                        -0x1p1000,
                                        0x1p-1060,
                                        0x1.01p0,
                                        0x1.03p0,
                                        -0x1.8p0,
                                        1e308,
                                        1e-308};
  static constexpr uint64_t kCodes[] = {0x7ff0000000000000ull, 0xfff0000000000000ull, 0x7ff8000000000000ull,
                                        0xfff8000012345678ull, 0x7ff0000000000001ull, 0x7ff4000020000000ull};
  constexpr size_t kValues = sizeof(kSpecial) / sizeof(kSpecial[0]);
  constexpr size_t kAll = kValues + sizeof(kCodes) / sizeof(kCodes[0]);
  with_dtype(dtype, [&]<DType D>() {
    Random random(seed);
    auto* elements = static_cast<typename Element<D>::Bits*>(to);
    for (uint64_t i = 0; i < count; i++) {
      const size_t pick = random.next() % kAll;
      const double value = pick < kValues ? kSpecial[pick] : bit_cast<double>(kCodes[pick - kValues]);
      elements[i] = Element<D>::store64(value);
    }
  });
}

}  // namespace wisemerge::test
