// lerp_element over one pack: decoded once, evaluated at any number of alphas.
#pragma once

#include <type_traits>

#include "cuda/kernels/half.h"
#include "cuda/kernels/pack.h"
#include "wisemerge/lerp.h"

namespace wisemerge::cuda {

template <DType X, DType Y, DType Out>
class ElementwiseLerpPack {
 public:
  using XBits = typename Element<X>::Bits;
  using YBits = typename Element<Y>::Bits;
  using OutBits = typename Element<Out>::Bits;
  static constexpr uint32_t kElements = kPackElements<XBits, YBits, OutBits>;

  WM_HD ElementwiseLerpPack(const Pack<XBits, kElements>& x, const Pack<YBits, kElements>& y)
      : x_(x), y_(y) {}

  // Adds the number of NaN and infinite results to `non_finite`.
  WM_HD Pack<OutBits, kElements> at(double alpha, uint32_t& non_finite) const {
    Pack<OutBits, kElements> out;
    WM_UNROLL
    for (uint32_t i = 0; i < kElements; i++) {
      out.at[i] = lerp_element<X, Y, Out>(x_.at[i], y_.at[i], alpha);
      non_finite += Element<Out>::non_finite(out.at[i]);
    }
    return out;
  }

 private:
  Pack<XBits, kElements> x_;
  Pack<YBits, kElements> y_;
};

// BF16 or F16 throughout, two elements per register: about 3 instructions per element and alpha.
template <DType D>
class HalfLerpPack {
 public:
  static constexpr uint32_t kElements = 8;
  using HalfPack = Pack<uint16_t, kElements>;

  WM_HD HalfLerpPack(const HalfPack& x, const HalfPack& y) {
    memcpy(x_, &x, sizeof(x_));
    memcpy(y_, &y, sizeof(y_));
    WM_UNROLL
    for (uint32_t w = 0; w < kWords; w++) {
      base_[2 * w] = Half<D>::widen(static_cast<uint16_t>(x_[w]));
      base_[2 * w + 1] = Half<D>::widen(static_cast<uint16_t>(x_[w] >> 16));
      step_[2 * w] = Half<D>::widen(static_cast<uint16_t>(y_[w])) - base_[2 * w];
      step_[2 * w + 1] = Half<D>::widen(static_cast<uint16_t>(y_[w] >> 16)) - base_[2 * w + 1];
      same_[w] = equal_halves(x_[w], y_[w]);
    }
  }

  WM_HD HalfPack at(double alpha, uint32_t& non_finite) const {
    const float a = static_cast<float>(alpha);
    uint32_t out[kWords], special = 0;
    WM_UNROLL
    for (uint32_t w = 0; w < kWords; w++) {
      if (alpha == 0.0) {
        out[w] = x_[w];
      } else if (alpha == 1.0) {
        out[w] = y_[w];
      } else {
        const uint32_t word =
            Half<D>::narrow(fmaf(a, step_[2 * w], base_[2 * w]), fmaf(a, step_[2 * w + 1], base_[2 * w + 1]));
        out[w] = (word & ~same_[w]) | (x_[w] & same_[w]);
      }
      special |= non_finite_halves<D>(out[w]);
    }
    if (special) return exact(alpha, non_finite);
    HalfPack pack;
    memcpy(&pack, out, sizeof(pack));
    return pack;
  }

 private:
  static constexpr uint32_t kWords = kElements / 2;

  // The specification, for packs with a NaN or an infinity.
  WM_HD HalfPack exact(double alpha, uint32_t& non_finite) const {
    HalfPack x, y;
    memcpy(&x, x_, sizeof(x));
    memcpy(&y, y_, sizeof(y));
    return ElementwiseLerpPack<D, D, D>(x, y).at(alpha, non_finite);
  }

  uint32_t x_[kWords], y_[kWords], same_[kWords];
  float base_[kElements], step_[kElements];
};

template <DType X, DType Y, DType Out>
using LerpPack = std::conditional_t<X == Y && Y == Out && (X == DType::kBF16 || X == DType::kF16),
                                    HalfLerpPack<X>, ElementwiseLerpPack<X, Y, Out>>;

}  // namespace wisemerge::cuda
