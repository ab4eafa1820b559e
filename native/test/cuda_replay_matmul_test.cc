// The tiles of the matrix product, replayed on the host thread by thread, against the CPU backend bit for
// bit.
#include <cmath>
#include <limits>

#include "cuda_host_kernels.h"
#include "lerp_fixture.h"
#include "stored_matrix.h"

namespace wisemerge::test {
namespace {

using cuda::Matmul;

struct Shape {
  size_t m, n, k;
};
struct Types {
  DType a, w0, w1;
};

// NaN of any bits counts as one value: devices make different ones.
bool same(float x, float y) { return (x != x && y != y) || bit_cast<uint32_t>(x) == bit_cast<uint32_t>(y); }

void check_tiles(Shape shape, Types types, bool a_transposed, bool w_transposed, double alpha, bool biased,
                 size_t gap = 0, size_t shift = 0, float special = 0) {
  const auto [m, n, k] = shape;
  Stored a(types.a, m, k, a_transposed, gap, shift, 1), w0(types.w0, n, k, w_transposed, gap, shift, 2),
      w1(types.w1, n, k, w_transposed, gap, shift, 3);
  if (special != 0 && types.a == DType::kF32) {
    std::memcpy(const_cast<uint8_t*>(a.first) + 4 * (m * k / 2), &special, 4);
  }
  const Stored bias(DType::kF32, 1, n, false, 0, 0, 4);
  const auto* const biases = reinterpret_cast<const float*>(bias.first);
  const size_t stride = n + 3;

  std::vector<float> wanted(m * stride, 77.0f);
  const Context cpu(2);
  // Equal biases, so that the device's need no interpolation here.
  const WmMatmul call{m,
                      n,
                      k,
                      a.view(),
                      w0.view(),
                      w1.view(),
                      alpha,
                      biased ? biases : nullptr,
                      biased ? biases : nullptr,
                      wanted.data(),
                      stride};
  WmError error{};
  CHECK_EQ(cpu.backend->matmul(cpu.context, &call, nullptr, &error), WM_OK);

  for (const bool descending : {false, true}) {
    std::vector<float> got(m * stride, 77.0f);
    Matmul product{};
    product.m = static_cast<uint32_t>(m);
    product.n = static_cast<uint32_t>(n);
    product.k = static_cast<uint32_t>(k);
    product.a = a.operand();
    product.w0 = alpha == 1 ? w1.operand() : w0.operand();
    if (alpha != 0 && alpha != 1) product.w1 = w1.operand();
    product.alpha = static_cast<float>(alpha);
    product.bias = biased ? biases : nullptr;
    product.out = got.data();
    product.out_stride = stride;
    matmul_on_host(product, descending);
    size_t wrong = 0;
    for (size_t i = 0; i < got.size(); i++) wrong += !same(got[i], wanted[i]);
    CHECK_EQ(wrong, 0u);
  }
}

constexpr Types kWide = {DType::kF32, DType::kF32, DType::kF32};

}  // namespace

TEST("cuda replay: matrix product, every edge of a tile") {
  for (const size_t m : {1u, 5u, 127u, 128u, 131u}) {
    for (const size_t n : {1u, 63u, 129u, 260u}) {
      for (const size_t k : {0u, 1u, 7u, 8u, 9u, 37u}) {
        if (kSanitized && (m + n + k) % 4) continue;
        check_tiles({m, n, k}, kWide, false, false, 0, k % 2);
      }
    }
  }
}

TEST("cuda replay: matrix product, every dtype, layout and alpha") {
  for (const DType w : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const DType a : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const bool transposed : {false, true}) {
        for (const double alpha : {0.0, 1.0, 0.3, 1.2, -0.5}) {
          if (kSanitized && alpha != 0.3) continue;
          check_tiles({37, 70, 45}, {a, w, w}, transposed, !transposed, alpha, true);
          check_tiles({37, 70, 44}, {a, w, w}, transposed, transposed, alpha, false, 4);
          check_tiles({21, 30, 20}, {a, w, w}, !transposed, transposed, alpha, true, 3, 1);
        }
      }
    }
  }
}

TEST("cuda replay: matrix product of models in different dtypes") {
  check_tiles({9, 33, 50}, {DType::kBF16, DType::kF32, DType::kBF16}, false, false, 0.3, true);
  check_tiles({9, 33, 50}, {DType::kF32, DType::kF16, DType::kBF16}, false, true, 1.2, true);
}

TEST("cuda replay: steps past the depth leave a negative zero as it is") {
  const float a = -0.0f, w = 2, bias = -0.0f;
  float out = 1;
  Matmul product{};
  product.m = product.n = product.k = 1;
  product.a = {&a, 1, 1, DType::kF32};
  product.w0 = {&w, 1, 1, DType::kF32};
  product.bias = &bias;
  product.out = &out;
  product.out_stride = 1;
  matmul_on_host(product);
  CHECK_EQ(bit_cast<uint32_t>(out), 0x80000000u);
}

TEST("cuda replay: matrix product keeps infinities and NaN where they belong") {
  for (const float special : {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN()}) {
    check_tiles({20, 40, 30}, kWide, false, false, 0.3, true, 0, 0, special);
  }
}

}  // namespace wisemerge::test
