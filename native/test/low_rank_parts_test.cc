// What decompositions are made of: normal deviates, QR, the SVD of small matrices, weighted sums.
#include <cmath>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "cpu/cpu_backend.h"
#include "low_rank_fixture.h"
#include "merge/combine_rows.h"
#include "merge/lowrank/jacobi_svd.h"
#include "merge/lowrank/tall_qr.h"
#include "wisemerge/normal.h"

namespace wisemerge::test {

TEST("low rank: normal deviates are quantiles of the normal distribution") {
  for (uint64_t bits = 0; bits < (1ull << 32); bits += 9999991) {
    const double p = (static_cast<double>(bits) + 0.5) / 4294967296.0;
    const double z = normal_quantile(static_cast<uint32_t>(bits));
    // P(Z < z), and how fast it grows there.
    const double got = 0.5 * std::erfc(-z / std::sqrt(2.0));
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * M_PI);
    CHECK(near(got, p, 2e-7 * std::max(1.0, std::fabs(z)) * density));
  }
  CHECK_EQ(normal_quantile(0), -normal_quantile(UINT32_MAX));
  double sum = 0, square = 0, uniform = 0, uniform_square = 0;
  constexpr uint64_t kCount = 100000;
  for (uint64_t i = 0; i < kCount; i++) {
    const double z = philox_normal(i, 3, 5), u = philox_uniform(i, 3, 5);
    sum += z;
    square += z * z;
    uniform += u;
    uniform_square += u * u;
    CHECK(u > -1 && u < 1);
  }
  CHECK(near(sum / kCount, 0, 0.015) && near(square / kCount, 1, 0.02));
  CHECK(near(uniform / kCount, 0, 0.01) && near(uniform_square / kCount, 1.0 / 3, 0.005));
}

TEST("low rank: a tall QR is orthonormal, gives its vectors back, and does not depend on threads") {
  struct Shape {
    uint64_t count, length;
    int kind;  // 0 random, 1 of rank 2, 2 with a vector of zeros, 3 of very different sizes
  };
  for (const Shape shape : {Shape{1, 1, 0}, Shape{1, 700, 0}, Shape{5, 5, 0}, Shape{7, 513, 1},
                            Shape{12, 3000, 0}, Shape{12, 3001, 1}, Shape{9, 2049, 2}, Shape{16, 5000, 3}}) {
    const auto [count, length, kind] = shape;
    Matrix y = normal(count, length, count + length);
    for (uint64_t j = 0; j < count; j++) {
      for (uint64_t i = 0; i < length; i++) {
        float& x = y.data[j * length + i];
        if (kind == 1 && j >= 2) {
          x = y.data[i] * static_cast<float>(j) - y.data[length + i] * static_cast<float>(j % 3);
        }
        if (kind == 2 && j == 3) x = 0;
        if (kind == 3) x *= std::pow(10.0f, -static_cast<float>(2 * j));
      }
    }
    Matrix q = y;
    ThreadPool one(1), three(3);
    TallQr qr(one), other(three);
    qr.run(q.data.data(), count, length, nullptr);
    Matrix again = y;
    other.run(again.data.data(), count, length, nullptr);
    CHECK(q.data == again.data && qr.triangle() == other.triangle());
    for (uint64_t j = 0; j < count; j++) {
      for (uint64_t k = 0; k < count; k++) {
        double dot = 0;
        for (uint64_t i = 0; i < length; i++) dot += q.at(j, i) * q.at(k, i);
        CHECK(near(dot, j == k ? 1 : 0, 1e-6));
        if (k < j) CHECK_EQ(qr.triangle()[j * count + k], 0.0);
      }
      double norm = 0, off = 0;
      for (uint64_t i = 0; i < length; i++) {
        double sum = 0;
        for (uint64_t k = 0; k <= j; k++) sum += qr.triangle()[k * count + j] * q.at(k, i);
        norm += y.at(j, i) * y.at(j, i);
        off += (sum - y.at(j, i)) * (sum - y.at(j, i));
      }
      CHECK(off <= 1e-12 * norm);
    }
  }
}

TEST("low rank: a small SVD gives its matrix back, with the values of an independent method") {
  for (const uint64_t n : {1, 2, 3, 17, 40}) {
    for (const bool singular : {false, true}) {
      Matrix m = normal(n, n, n);
      if (singular && n > 1) std::copy_n(m.data.begin(), n, m.data.end() - static_cast<int64_t>(n));
      Doubles columns(n * n);
      for (uint64_t i = 0; i < n; i++) {
        for (uint64_t j = 0; j < n; j++) columns[j * n + i] = m.at(i, j);
      }
      const SmallSvd svd = jacobi_svd(columns, n);
      const Doubles values = singular_values(m);
      for (uint64_t k = 0; k < n; k++) CHECK(near(svd.values[k], values[k], 1e-7 * values[0]));
      for (uint64_t i = 0; i < n; i++) {
        for (uint64_t j = 0; j < n; j++) {
          double sum = 0;
          for (uint64_t k = 0; k < n; k++) {
            sum += svd.values[k] * svd.left[k * n + i] * svd.right[k * n + j];
          }
          CHECK(near(sum, m.at(i, j), 1e-12 * values[0]));
        }
      }
    }
  }
  Doubles zeros(9);
  const SmallSvd none = jacobi_svd(zeros, 3);
  CHECK(none.values == Doubles(3) && none.left == Doubles(9));
}

TEST("low rank: weighted sums are rounded once, and means keep what all have") {
  Engine engine(wisemerge_cpu_backend(), EngineOptions{0, 2, ""});
  const auto f = [](DType dtype) { return static_cast<int32_t>(dtype); };
  const std::vector<double> x = {1, 1e-20, 3, 1e300}, y = {1 + 1e-9, 2e-20, 3, 1e300};
  std::vector<float> out(4, -1);
  const CombineTask wide{
      4, DType::kF32, out.data(), {y.data(), x.data()}, {f(DType::kF64), f(DType::kF64)}, {1, -1}};
  CHECK_EQ(run_combine(engine, wide, nullptr), uint64_t{0});
  for (size_t i = 0; i < 4; i++) CHECK_EQ(out[i], static_cast<float>(y[i] - x[i]));
  const std::vector<uint16_t> half = {0x3f80, 0x7f80, 0x7fc0};  // bf16: 1, infinity, NaN
  const std::vector<float> single = {1.25f, 1, 1};
  const CombineTask mixed{
      3, DType::kF32, out.data(), {single.data(), half.data()}, {f(DType::kF32), f(DType::kBF16)}, {1, -1}};
  CHECK_EQ(run_combine(engine, mixed, nullptr), uint64_t{2});
  CHECK_EQ(out[0], 0.25f);
  // A third of each of three: what all have in common keeps its bits.
  const std::vector<float> a = {0.1f, 1}, b = {0.1f, 2}, c = {0.1f, 6};
  const double third = 1.0 / 3;
  const int32_t f32 = f(DType::kF32);
  const CombineTask mean{
      2, DType::kF32, out.data(), {a.data(), b.data(), c.data()}, {f32, f32, f32}, {third, third, third}};
  CHECK_EQ(run_combine(engine, mean, nullptr), uint64_t{0});
  CHECK_EQ(out[0], 0.1f);
  CHECK(near(static_cast<double>(out[1]), 3, 1e-6));
  const CombineTask alone{2, DType::kF32, out.data(), {c.data()}, {f32}, {1}};
  run_combine(engine, alone, nullptr);
  CHECK_EQ(out[1], 6.0f);
}

}  // namespace wisemerge::test
