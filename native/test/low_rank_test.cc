// Decompositions into low rank: normal deviates, QR, small SVD, and the whole against singular values that
// come from the eigenvalues of the Gram matrix (two-sided Jacobi), which shares nothing with the code.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "merge/combine_rows.h"
#include "merge/lowrank/jacobi_svd.h"
#include "merge/lowrank/low_rank_rows.h"
#include "merge/lowrank/tall_qr.h"
#include "merge/lowrank/truncated_svd.h"
#include "wisemerge/convert.h"
#include "wisemerge/normal.h"

namespace wisemerge::test {
namespace {

using Doubles = std::vector<double>;

// [rows, columns], row by row.
struct Matrix {
  uint64_t rows, columns;
  std::vector<float> data;

  Matrix(uint64_t r, uint64_t c) : rows(r), columns(c), data(r * c) {}
  double at(uint64_t i, uint64_t j) const { return static_cast<double>(data[i * columns + j]); }
};

Matrix normal(uint64_t rows, uint64_t columns, uint64_t seed, double size = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> draw(0, size);
  Matrix m(rows, columns);
  for (float& x : m.data) x = static_cast<float>(draw(random));
  return m;
}

// Sum over k of spectrum[k] u_k v_k^T with random, nearly orthogonal u and v.
Matrix planted(uint64_t rows, uint64_t columns, const Doubles& spectrum, uint64_t seed) {
  const Matrix u = normal(spectrum.size(), rows, seed, 1 / std::sqrt(static_cast<double>(rows)));
  const Matrix v = normal(spectrum.size(), columns, seed + 1, 1 / std::sqrt(static_cast<double>(columns)));
  Doubles sums(rows * columns);
  for (uint64_t k = 0; k < spectrum.size(); k++) {
    for (uint64_t i = 0; i < rows; i++) {
      for (uint64_t j = 0; j < columns; j++) sums[i * columns + j] += spectrum[k] * u.at(k, i) * v.at(k, j);
    }
  }
  Matrix m(rows, columns);
  for (uint64_t e = 0; e < sums.size(); e++) m.data[e] = static_cast<float>(sums[e]);
  return m;
}

// Eigenvalues of the smaller of M M^T and M^T M by classical two-sided Jacobi; their roots, descending.
Doubles singular_values(const Matrix& m) {
  const bool tall = m.rows > m.columns;
  const uint64_t n = std::min(m.rows, m.columns), depth = std::max(m.rows, m.columns);
  Doubles g(n * n);
  for (uint64_t i = 0; i < n; i++) {
    for (uint64_t j = 0; j < n; j++) {
      for (uint64_t k = 0; k < depth; k++) {
        g[i * n + j] += tall ? m.at(k, i) * m.at(k, j) : m.at(i, k) * m.at(j, k);
      }
    }
  }
  for (int sweep = 0; sweep < 30; sweep++) {
    double off = 0, all = 0;
    for (uint64_t p = 0; p < n; p++) {
      for (uint64_t q = 0; q < n; q++) {
        all += g[p * n + q] * g[p * n + q];
        if (p != q) off += g[p * n + q] * g[p * n + q];
      }
    }
    if (off <= 1e-32 * all) break;
    for (uint64_t p = 0; p + 1 < n; p++) {
      for (uint64_t q = p + 1; q < n; q++) {
        if (g[p * n + q] == 0) continue;
        const double theta = (g[q * n + q] - g[p * n + p]) / (2 * g[p * n + q]);
        const double t = (theta < 0 ? -1 : 1) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (uint64_t k = 0; k < n; k++) {
          const double a = g[k * n + p], b = g[k * n + q];
          g[k * n + p] = c * a - s * b;
          g[k * n + q] = s * a + c * b;
        }
        for (uint64_t k = 0; k < n; k++) {
          const double a = g[p * n + k], b = g[q * n + k];
          g[p * n + k] = c * a - s * b;
          g[q * n + k] = s * a + c * b;
        }
      }
    }
  }
  Doubles values;
  for (uint64_t i = 0; i < n; i++) values.push_back(std::sqrt(std::max(0.0, g[i * n + i])));
  std::sort(values.rbegin(), values.rend());
  return values;
}

double squares(const Doubles& values, uint64_t from, uint64_t to) {
  double sum = 0;
  for (uint64_t i = from; i < std::min<uint64_t>(to, values.size()); i++) sum += values[i] * values[i];
  return sum;
}

struct Factors {
  LowRankOutcome outcome;
  std::vector<float> a, b;  // widened
  std::vector<uint8_t> bytes;
};

struct Options {
  double energy = 1;
  DType dtype = DType::kF32;
  bool transposed = false;
  int threads = 1;
  const char* isa = "";
  uint64_t key = 7;
};

Factors decompose(const Matrix& m, uint64_t rank, const Options& options = {}) {
  const auto engine =
      std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, options.threads, options.isa});
  TruncatedSvd svd(engine, options.threads);
  const uint64_t item = item_size(options.dtype);
  const uint64_t a_length = options.transposed ? m.rows : m.columns;
  const uint64_t b_length = options.transposed ? m.columns : m.rows;
  Factors f;
  f.bytes.resize(rank * (a_length + b_length) * item);
  LowRankTask task{m.data.data(), m.rows,        m.columns,          rank,           options.energy,
                   options.key,   options.dtype, options.transposed, f.bytes.data(), nullptr};
  task.b = f.bytes.data() + rank * a_length * item;
  f.outcome = svd.run(task, nullptr);
  const auto widen = [&](const void* from, uint64_t count, std::vector<float>& to) {
    for (uint64_t i = 0; i < count; i++) {
      const auto* const wide = static_cast<const uint32_t*>(from);
      const auto* const half = static_cast<const uint16_t*>(from);
      to.push_back(options.dtype == DType::kF32    ? Element<DType::kF32>::load32(wide[i])
                   : options.dtype == DType::kBF16 ? Element<DType::kBF16>::load32(half[i])
                                                   : Element<DType::kF16>::load32(half[i]));
    }
  };
  widen(task.a, f.outcome.rank * a_length, f.a);
  widen(task.b, f.outcome.rank * b_length, f.b);
  return f;
}

// |M - B A|^2, in f64.
double residual(const Matrix& m, const Factors& f, bool transposed = false) {
  const uint64_t r = f.outcome.rank;
  double sum = 0;
  for (uint64_t i = 0; i < m.rows; i++) {
    for (uint64_t j = 0; j < m.columns; j++) {
      double product = 0;
      for (uint64_t k = 0; k < r; k++) {
        product += transposed
                       ? static_cast<double>(f.a[k * m.rows + i]) * static_cast<double>(f.b[j * r + k])
                       : static_cast<double>(f.b[i * r + k]) * static_cast<double>(f.a[k * m.columns + j]);
      }
      sum += (m.at(i, j) - product) * (m.at(i, j) - product);
    }
  }
  return sum;
}

bool near(double value, double wanted, double tolerance) { return std::fabs(value - wanted) <= tolerance; }

}  // namespace

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

TEST("low rank: singular values and error are those of the best approximation") {
  const auto spectrum = [](uint64_t count, auto value) {
    Doubles all;
    for (uint64_t i = 0; i < count; i++) all.push_back(value(static_cast<double>(i)));
    return all;
  };
  const Matrix cases[] = {
      planted(90, 140, spectrum(80, [](double i) { return std::pow(0.8, i); }), 1),
      planted(140, 90, spectrum(80, [](double i) { return 1 / (1 + i); }), 2),
      planted(120, 120, spectrum(100, [](double i) { return i < 4 ? 3.0 : 0.5; }), 3),
      normal(100, 80, 4),
      normal(300, 40, 5, 1e-6),
  };
  for (const Matrix& m : cases) {
    const Doubles values = singular_values(m);
    const double all = squares(values, 0, values.size());
    for (const uint64_t rank : {1, 4, 12}) {
      const Factors f = decompose(m, rank);
      CHECK_EQ(f.outcome.rank, rank);
      CHECK(near(f.outcome.matrix, all, 1e-10 * all));
      const double best = squares(values, rank, values.size());
      const double left = residual(m, f);
      CHECK(near(f.outcome.residual, left, 1e-6 * all));
      // Eckart and Young: none is better. 1.01 is the promise of docs/lora.md.
      CHECK(left >= best * (1 - 1e-6) && left <= best * 1.01 * 1.01);
      // An orthogonal projection: the parts add up.
      CHECK(near(f.outcome.product + f.outcome.residual, all, 1e-6 * all));
      // Those of a projection are no larger (Cauchy's interlacing), and in a flat spectrum somewhat smaller.
      for (uint64_t k = 0; k < rank; k++) {
        CHECK(f.outcome.values[k] <= values[k] * (1 + 1e-6) && f.outcome.values[k] >= 0.97 * values[k]);
      }
      const bool decays = values[rank + 10] < 0.3 * values[0];
      if (decays) CHECK(near(f.outcome.values[0], values[0], 1e-4 * values[0]));
      // The factors' vectors are orthogonal, with squared lengths of the singular values.
      for (uint64_t k = 0; k < rank; k++) {
        for (uint64_t l = 0; l < rank; l++) {
          double across = 0, down = 0;
          for (uint64_t j = 0; j < m.columns; j++) {
            across +=
                static_cast<double>(f.a[k * m.columns + j]) * static_cast<double>(f.a[l * m.columns + j]);
          }
          for (uint64_t i = 0; i < m.rows; i++) {
            down += static_cast<double>(f.b[i * rank + k]) * static_cast<double>(f.b[i * rank + l]);
          }
          const double wanted = k == l ? f.outcome.values[k] : 0, most = f.outcome.values[0];
          CHECK(near(across, wanted, 2e-6 * most) && near(down, wanted, 2e-6 * most));
        }
      }
    }
  }
}

TEST("low rank: a matrix of lower rank comes back to rounding, with no more vectors than it needs") {
  for (const auto& [rows, columns] :
       {std::pair<uint64_t, uint64_t>{200, 330}, {1200, 64}, {5, 700}, {1, 9}}) {
    const Matrix m = planted(rows, columns, {5, 2, 1, 0.25}, rows);
    const Factors f = decompose(m, 16);
    CHECK_EQ(f.outcome.rank, std::min<uint64_t>(4, rows));
    CHECK(std::sqrt(residual(m, f) / f.outcome.matrix) < 1e-6);
    CHECK(std::sqrt(f.outcome.residual / f.outcome.matrix) < 1e-6);
  }
}

TEST("low rank: a rank beyond the matrix's own is all of it") {
  for (const auto& [rows, columns] : {std::pair<uint64_t, uint64_t>{9, 30}, {30, 9}, {1, 1}}) {
    const Matrix m = normal(rows, columns, 8);
    const Factors f = decompose(m, 64);
    CHECK_EQ(f.outcome.rank, std::min(rows, columns));
    CHECK(std::sqrt(residual(m, f) / f.outcome.matrix) < 1e-6);
  }
}

TEST("low rank: a share of the energy is reached with the least rank, or the most that is allowed") {
  const Matrix m = planted(100, 150, {9, 7, 5, 3, 1, 0.5, 0.25}, 11);
  const Doubles values = singular_values(m);
  const double all = squares(values, 0, values.size());
  for (const double share : {0.3, 0.6, 0.9, 0.99, 0.9999}) {
    Options options;
    options.energy = share;
    const Factors f = decompose(m, 32, options);
    CHECK(squares(values, 0, f.outcome.rank) >= share * all * (1 - 1e-6));
    CHECK(squares(values, 0, f.outcome.rank - 1) < share * all * (1 + 1e-6));
    CHECK_EQ(decompose(m, 2, options).outcome.rank, std::min<uint64_t>(2, f.outcome.rank));
  }
}

TEST("low rank: threads and SIMD level change no bit, the seed does") {
  const Matrix m = planted(700, 900, {3, 2, 1, 1, 1, 0.5, 0.5, 0.3, 0.2, 0.1}, 21);
  const Factors reference = decompose(m, 5);
  for (const int threads : {2, 5}) {
    for (const char* isa : {"", "baseline"}) {
      Options options;
      options.threads = threads;
      options.isa = isa;
      const Factors f = decompose(m, 5, options);
      CHECK(f.bytes == reference.bytes && f.outcome.values == reference.outcome.values);
      CHECK_EQ(f.outcome.residual, reference.outcome.residual);
    }
  }
  Options other;
  other.key = 8;
  CHECK(decompose(m, 5, other).bytes != reference.bytes);
}

TEST("low rank: factors of a transposed weight, and of narrow dtypes") {
  const Matrix m = planted(120, 200, {4, 2, 1}, 31);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const bool transposed : {false, true}) {
      Options options;
      options.dtype = dtype;
      options.transposed = transposed;
      const Factors f = decompose(m, 3, options);
      const double left = residual(m, f, transposed);
      const double bound = dtype == DType::kF32 ? 1e-6 : dtype == DType::kF16 ? 1e-3 : 8e-3;
      CHECK(std::sqrt(left / f.outcome.matrix) < bound);
      // What is reported is what the stored factors give.
      CHECK(near(f.outcome.residual, left, 1e-4 * left + 1e-12 * f.outcome.matrix));
    }
  }
}

TEST("low rank: a matrix of zeros has rank 0; what is not finite is refused") {
  CHECK_EQ(decompose(Matrix(30, 20), 4).outcome.rank, uint64_t{0});
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Matrix m = normal(30, 20, 1);
    m.data[77] = value;
    try {
      decompose(m, 4);
      CHECK(false);
    } catch (const Error& error) {
      CHECK_EQ(error.code(), "ERR_DATA");
    }
  }
  Matrix large = normal(30, 20, 1, 1e15);
  Options half;
  half.dtype = DType::kF16;
  try {
    decompose(large, 4, half);
    CHECK(false);
  } catch (const Error& error) {
    CHECK_EQ(error.code(), "ERR_DATA");
  }
}

TEST("low rank: stops when asked") {
  const Matrix m = normal(60, 50, 1);
  std::vector<float> factors(4 * 110);
  const int32_t stop = 1;
  TruncatedSvd svd(std::make_shared<Engine>(wisemerge_cpu_backend(), EngineOptions{0, 1, ""}), 1);
  try {
    svd.run({m.data.data(), 60, 50, 4, 1, 0, DType::kF32, false, factors.data(), factors.data() + 200},
            &stop);
    CHECK(false);
  } catch (const Error& error) {
    CHECK_EQ(error.code(), "ERR_ABORTED");
  }
}

TEST(
    "low rank: weighted sums are rounded once, means keep what is equal, and what is not finite is counted") {
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

TEST("low rank: numbers that leave the arena are refused") {
  static uint8_t arena[4096];
  const auto code = [](auto parse, std::vector<double> numbers, size_t at, double value) -> std::string {
    if (at < numbers.size()) numbers[at] = value;
    try {
      parse(numbers.data(), numbers.size(), arena, sizeof(arena));
      return "none";
    } catch (const Error& error) {
      return error.code();
    }
  };
  const double f32 = static_cast<double>(DType::kF32), f8 = static_cast<double>(DType::kF8E5M2);
  const auto combine = [](const double* numbers, size_t length, uint8_t* memory, uint64_t bytes) {
    return parse_combine(numbers, length, {1, -1}, memory, bytes);
  };
  const std::vector<double> sum = {f32, 1024, 100, f32, 0, f32, 512};
  CHECK_EQ(code(combine, sum, 9, 0), "none");
  CHECK_EQ(code(combine, sum, 0, 0), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(combine, sum, 2, 1e6), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(combine, sum, 6, 4000), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(combine, {f32, 0, 1, f32, 0}, 9, 0), "ERR_INTERNAL_ARGUMENT");
  const std::vector<double> decompose = {0, 10, 20, 4, 1, f32, 0, 1024, 2048};
  CHECK_EQ(code(parse_decompose, decompose, 9, 0), "none");
  CHECK_EQ(code(parse_decompose, decompose, 1, 100), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(parse_decompose, decompose, 2, 1e15), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(parse_decompose, decompose, 3, 0), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(parse_decompose, decompose, 3, 50), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(parse_decompose, decompose, 4, 1.5), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(parse_decompose, decompose, 5, f8), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(parse_decompose, decompose, 8, 4090), "ERR_INTERNAL_RANGE");
}

}  // namespace wisemerge::test
