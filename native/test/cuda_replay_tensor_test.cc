// The matrix product by tensor cores, replayed on the host warp by warp, against f64 within the documented
// bound.
#include <cmath>
#include <limits>

#include "cuda_host_kernels.h"
#include "lerp_fixture.h"
#include "stored_matrix.h"

namespace wisemerge::test {
namespace {

using cuda::Matmul;
constexpr DType kF32 = DType::kF32, kF16 = DType::kF16, kBF16 = DType::kBF16;

struct Product {
  Product(size_t rows, size_t columns, size_t depth, DType a_type, DType w_type, double at,
          bool a_transposed = false, bool w_transposed = false, size_t gap = 0, size_t shift = 0)
      : m(rows),
        n(columns),
        k(depth),
        alpha(at),
        a(a_type, m, k, a_transposed, gap, shift, 1),
        w0(w_type, n, k, w_transposed, gap, shift, 2),
        w1(w_type, n, k, w_transposed, gap, shift, 3),
        bias(kF32, 1, n, false, 0, 0, 4) {}

  float weight(size_t j, size_t l) const {
    const auto x = bit_cast<uint32_t>(w0.value(j, l)), y = bit_cast<uint32_t>(w1.value(j, l));
    return bit_cast<float>(lerp_element<kF32, kF32, kF32>(x, y, static_cast<float>(alpha)));
  }

  std::vector<float> run(bool descending = false) const {
    std::vector<float> out(m * stride(), kUntouched);
    Matmul call{};
    call.m = static_cast<uint32_t>(m);
    call.n = static_cast<uint32_t>(n);
    call.k = static_cast<uint32_t>(k);
    call.a = a.operand();
    call.w0 = alpha == 1 ? w1.operand() : w0.operand();
    if (alpha != 0 && alpha != 1) call.w1 = w1.operand();
    call.alpha = static_cast<float>(alpha);
    if (biased) call.bias = reinterpret_cast<const float*>(bias.first);
    call.out = out.data();
    call.out_stride = stride();
    tensor_on_host(call, descending);
    return out;
  }

  // The distance from the exact product, in units of the bound; infinite where a gap between rows was written
  // to.
  double worst() const {
    const bool splits_w = (alpha != 0 && alpha != 1) || w0.dtype != kBF16;
    const double bound = cuda::tensor_matmul_bound(k, a.dtype != kBF16, splits_w);
    double most = 0;
    for (const bool descending : {false, true}) {
      const std::vector<float> out = run(descending);
      for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < stride(); j++) {
          const double got = out[i * stride() + j];
          if (j >= n) {
            if (got != kUntouched) return INFINITY;
            continue;
          }
          double exact = biased ? bias.value(0, j) : 0, size = std::fabs(exact), lost = 0;
          for (size_t l = 0; l < k; l++) {
            const double x = a.value(i, l), w = weight(j, l);
            exact += x * w;
            size += std::fabs(x * w);
            lost +=
                0x1p-133 * (std::fabs(x) + std::fabs(w)) + 0x1p-140;  // parts and products below bf16 and f32
          }
          most = std::fmax(most, std::fabs(got - exact) / (bound * size + lost));
          if (std::isnan(got)) return INFINITY;
        }
      }
    }
    return most;
  }

  static constexpr float kUntouched = 77;
  size_t stride() const { return n + 3; }
  size_t m, n, k;
  double alpha;
  bool biased = true;
  Stored a, w0, w1, bias;
};

// As the f32 kernel computes it, which is held to the CPU bit for bit.
float chain(const Product& p, size_t i, size_t j) {
  float sum = p.biased ? p.bias.value(0, j) : 0;
  for (size_t l = 0; l < p.k; l++) sum = std::fma(p.a.value(i, l), p.weight(j, l), sum);
  return sum;
}

// Elements whose bits are those of the f32 chain, any NaN like any other; the rest is within the bound or
// not.
size_t not_as_chain(const Product& p, const std::vector<float>& out, bool finite_too) {
  size_t wrong = 0;
  for (size_t i = 0; i < p.m; i++) {
    for (size_t j = 0; j < p.n; j++) {
      const float got = out[i * p.stride() + j], wanted = chain(p, i, j);
      if (std::isfinite(wanted) && !finite_too) {
        wrong += !std::isfinite(got);
      } else {
        wrong += !(bit_cast<uint32_t>(got) == bit_cast<uint32_t>(wanted) ||
                   (std::isnan(got) && std::isnan(wanted)));
      }
    }
  }
  return wrong;
}

}  // namespace

TEST("cuda replay: tensor cores, one element of each operand meets its place alone") {
  // All products but one vanish, so that an exchange of any two lanes, rows, columns or steps shows.
  for (const size_t l : {0u, 1u, 6u, 9u, 12u, 15u, 16u, 31u}) {
    Product p(128, 128, 32, kF32, kF32, 0);
    p.biased = false;
    for (size_t i = 0; i < p.m; i++) {
      for (size_t step = 0; step < p.k; step++) {
        p.a.set(i, step, step == l ? static_cast<float>(1 + i) : 0);
        p.w0.set(i, step, step == l ? static_cast<float>(1 + 2 * i) : 0);
      }
    }
    const std::vector<float> out = p.run();
    size_t wrong = 0;
    for (size_t i = 0; i < p.m; i++) {
      for (size_t j = 0; j < p.n; j++) {
        wrong += out[i * p.stride() + j] != static_cast<float>((1 + i) * (1 + 2 * j));
      }
    }
    CHECK_EQ(wrong, 0u);
  }
}

TEST("cuda replay: tensor cores, every edge of a tile") {
  for (const size_t m : {1u, 17u, 131u}) {
    for (const size_t n : {1u, 63u, 129u}) {
      for (const size_t k : {0u, 1u, 15u, 16u, 33u}) CHECK(Product(m, n, k, kF32, kF32, 0.3).worst() <= 1);
    }
  }
}

TEST("cuda replay: tensor cores, every dtype, layout and alpha") {
  for (const DType w : {kF32, kF16, kBF16}) {
    for (const DType a : {kF32, kF16, kBF16}) {
      for (const bool transposed : {false, true}) {
        for (const double alpha : {0.0, 1.0, 0.3, -0.5}) {
          if (kSanitized && alpha != 0.3) continue;
          CHECK(Product(19, 37, 45, a, w, alpha, transposed, !transposed).worst() <= 1);
          CHECK(Product(19, 37, 44, a, w, alpha, transposed, transposed, 4).worst() <= 1);
          CHECK(Product(11, 21, 20, a, w, alpha, !transposed, transposed, 3, 1).worst() <= 1);
        }
      }
    }
  }
  CHECK(Product(5, 9, 700, kF32, kF32, 0.7).worst() < 0.1);
}

TEST("cuda replay: tensor cores leave out the product of the low parts, and nothing else") {
  Product p(1, 1, 1, kF32, kF32, 0);
  p.biased = false;
  p.a.set(0, 0, 1 + 0x1p-8f);  // high part 1, to even
  p.w0.set(0, 0, 1 + 0x1p-8f);
  CHECK_EQ(p.run()[0], 1 + 0x1p-7f);
  CHECK(p.worst() > 0.4);  // the bound is not idle
  p.w0.set(0, 0, -1);
  CHECK_EQ(p.run()[0], -1 - 0x1p-8f);
  // bf16 as it is stored has products that f32 holds: a sum of one is exact.
  Product exact(40, 40, 1, kBF16, kBF16, 1);
  exact.biased = false;
  CHECK_EQ(not_as_chain(exact, exact.run(), true), 0u);
}

TEST("cuda replay: tensor cores hold the bound at any magnitude") {
  for (const float size : {0x1p-140f, 0x1p-120f, 0x1p-60f, 0x1p60f, 0x1p120f}) {
    for (const float other : {0x1p-120f, 0x1p-60f, 1.0f}) {
      Product p(20, 30, 40, kF32, kF32, 0);
      for (size_t l = 0; l < p.k; l++) {
        for (size_t i = 0; i < p.m; i++) p.a.set(i, l, p.a.value(i, l) * size);
        for (size_t j = 0; j < p.n; j++) p.w0.set(j, l, p.w0.value(j, l) * other);
      }
      CHECK(p.worst() <= 1);
    }
  }
}

TEST("cuda replay: tensor cores give infinities and NaN where the f32 product does") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float special : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (const float met : {1.7f, -1e-44f, 0.0f}) {  // 1e-44 has no bf16 part
      Product p(20, 40, 30, kF32, kF32, 0);
      p.a.set(3, 7, special);
      p.w0.set(5, 7, met);
      p.w0.set(11, 29, special);
      p.a.set(4, 29, met);
      CHECK_EQ(not_as_chain(p, p.run(), false), 0u);
    }
    Product between(20, 40, 30, kF32, kF32, 0.3);
    between.w1.set(6, 2, special);
    CHECK_EQ(not_as_chain(between, between.run(), false), 0u);
  }
}

TEST("cuda replay: tensor cores compute what rounds to an infinite part, or overflows, as the f32 product") {
  constexpr float kMost = std::numeric_limits<float>::max();
  Product p(3, 3, 2, kF32, kF32, 0);
  for (size_t i = 0; i < 3; i++) {
    p.a.set(i, 0, i == 0 ? kMost : 1);
    p.a.set(i, 1, i == 1 ? -kMost : 2);
    p.w0.set(i, 0, i == 1 ? 3 : 0.25f);
    p.w0.set(i, 1, i == 2 ? 4 : -0.5f);
  }
  const std::vector<float> out = p.run();
  for (size_t i = 0; i < 2; i++) {
    for (size_t j = 0; j < 3; j++) {
      CHECK_EQ(bit_cast<uint32_t>(out[i * p.stride() + j]), bit_cast<uint32_t>(chain(p, i, j)));
    }
  }
  CHECK(std::isfinite(out[0]) && std::isinf(out[1]));
}

TEST("cuda replay: tensor cores load whole lines of 16 bytes, from different banks") {
  CHECK(Product(20, 30, 40, kF32, kF32, 0.5).worst() <= 1);
  CHECK_EQ(HostWarp::misaligned, 0u);
  for (const uint32_t step : {0u, 8u}) {
    for (uint32_t first = 0; first < cuda::kMatmulTile; first += 8) {
      uint32_t banks = 0;
      for (uint32_t line = first; line < first + 8; line++) {
        banks |= 1u << ((line * cuda::kTensorDepth + cuda::tensor_place(line, step)) / 8 % 8);
      }
      CHECK_EQ(banks, 0xffu);
    }
  }
}

}  // namespace wisemerge::test
