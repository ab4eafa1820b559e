// Decompositions into low rank, against the best approximation by an independent method.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "core/status.h"
#include "cpu/cpu_backend.h"
#include "low_rank_fixture.h"
#include "merge/combine_rows.h"
#include "merge/lowrank/low_rank_rows.h"
#include "merge/lowrank/truncated_svd.h"
#include "wisemerge/convert.h"

namespace wisemerge::test {
namespace {

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

}  // namespace

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
