#include "merge/lowrank/truncated_svd.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/matrix_product.h"
#include "core/status.h"
#include "merge/lowrank/cancelled.h"
#include "merge/lowrank/jacobi_svd.h"
#include "wisemerge/convert.h"
#include "wisemerge/normal.h"

namespace wisemerge {
namespace {

// Rows of a product that are compared with the matrix at a time.
constexpr uint64_t kBlockRows = 256;
constexpr size_t kLanes = 8;

// The sum of value(i)^2 in a fixed order that vectors can follow.
template <class Value>
double sum_squares(uint64_t count, const Value& value) {
  double lane[kLanes] = {};
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t l = 0; l < kLanes; l++) lane[l] += value(i + l) * value(i + l);
  }
  for (size_t l = 0; i < count; i++, l++) lane[l] += value(i) * value(i);
  for (size_t s = kLanes / 2; s > 0; s /= 2) {
    for (size_t l = 0; l < s; l++) lane[l] += lane[l + s];
  }
  return lane[0];
}

template <DType D>
void narrow(const float* from, uint64_t count, void* to) {
  auto* const out = static_cast<typename Element<D>::Bits*>(to);
  for (uint64_t i = 0; i < count; i++) out[i] = Element<D>::store32(from[i]);
}

void narrow(DType dtype, const float* from, uint64_t count, void* to) {
  if (dtype == DType::kF16) return narrow<DType::kF16>(from, count, to);
  if (dtype == DType::kBF16) return narrow<DType::kBF16>(from, count, to);
  std::copy_n(from, count, static_cast<float*>(to));
}

// The least rank that captures a share of all squares; those of the values are squares of the matrix.
uint64_t choose_rank(const std::vector<double>& values, double all, const LowRankTask& task) {
  const double noise = TruncatedSvd::kNoise * std::sqrt(all);
  uint64_t rank = 0;
  double captured = 0;
  while (rank < values.size() && rank < task.rank && values[rank] > noise) {
    if (task.energy < 1 && captured >= task.energy * all) break;
    captured += values[rank] * values[rank];
    rank++;
  }
  return rank;
}

}  // namespace

TruncatedSvd::TruncatedSvd(std::shared_ptr<Engine> engine, int threads)
    : engine_(std::move(engine)), pool_(threads), qr_(pool_) {}

LowRankOutcome TruncatedSvd::run(const LowRankTask& task, WmCancelFlag cancelled) {
  LowRankOutcome outcome{};
  outcome.matrix = squares(task.matrix, task.rows, task.columns);
  if (!std::isfinite(outcome.matrix)) throw Error("ERR_DATA", "the matrix has elements that are not finite");
  if (outcome.matrix == 0) return outcome;
  const uint64_t width = std::min({task.rank + kOversampling, task.rows, task.columns});
  find_range(task, width, cancelled);

  // On the basis the matrix is Q B with B = R^T P^T, P the basis of its rows: R^T alone is decomposed.
  std::vector<double> columns = qr_.triangle();  // R's rows are the columns of R^T
  const SmallSvd svd = jacobi_svd(columns, width);
  outcome.rank = choose_rank(svd.values, outcome.matrix, task);
  outcome.values.assign(svd.values.begin(), svd.values.begin() + static_cast<int64_t>(outcome.rank));
  store(task, width, svd.left, svd.right, outcome, cancelled);
  measure(task, outcome, cancelled);
  return outcome;
}

double TruncatedSvd::squares(const float* matrix, uint64_t rows, uint64_t columns) {
  sums_.assign(rows, 0);
  pool_.parallel_for(rows, 16, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const float* const row = matrix + i * columns;
      sums_[i] = sum_squares(columns, [row](uint64_t j) { return static_cast<double>(row[j]); });
    }
  });
  double all = 0;
  for (const double sum : sums_) all += sum;
  return all;
}

// Normal deviates into wide_.
void TruncatedSvd::draw(uint64_t key, uint64_t count) {
  wide_.resize(count);
  pool_.parallel_for(count, 4096, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) wide_[i] = static_cast<float>(philox_normal(i, 0, key));
  });
}

// Leaves bases in tall_ and wide_, and in qr_ the triangle of the latter.
void TruncatedSvd::find_range(const LowRankTask& task, uint64_t width, WmCancelFlag cancelled) {
  const uint64_t rows = task.rows, columns = task.columns;
  const WmMatrix across = rows_of(task.matrix, columns), down = columns_of(task.matrix, columns);
  draw(task.key, width * columns);
  tall_.resize(width * rows);
  // With as many vectors as the matrix has rows or columns the first range is all of it.
  const uint64_t rounds = width == std::min(rows, columns) ? 0 : kIterations;
  for (uint64_t i = 0; i <= rounds; i++) {
    engine_->matmul(
        matrix_product(width, rows, columns, rows_of(wide_.data(), columns), across, tall_.data()),
        cancelled);
    qr_.run(tall_.data(), width, rows, cancelled);
    engine_->matmul(matrix_product(width, columns, rows, rows_of(tall_.data(), rows), down, wide_.data()),
                    cancelled);
    qr_.run(wide_.data(), width, columns, cancelled);
  }
}

// The factors U S^1/2 and S^1/2 V^T, so that both are of one size: narrow dtypes lose least.
void TruncatedSvd::store(const LowRankTask& task, uint64_t width, const std::vector<double>& left,
                         const std::vector<double>& right, LowRankOutcome& outcome, WmCancelFlag cancelled) {
  const uint64_t rank = outcome.rank;
  weights_.resize(rank * width);
  // Vector-major [rank, length], or its transpose.
  const auto write = [&](const std::vector<double>& vectors, const std::vector<float>& basis, uint64_t length,
                         bool as_columns, void* to) {
    for (uint64_t i = 0; i < rank; i++) {
      const double scale = std::sqrt(outcome.values[i]);
      for (uint64_t j = 0; j < width; j++) {
        weights_[i * width + j] = static_cast<float>(scale * vectors[i * width + j]);
      }
    }
    factor_.resize(rank * length);
    const WmMatrix mix = rows_of(weights_.data(), width), vector = columns_of(basis.data(), length);
    if (as_columns) {
      engine_->matmul(matrix_product(length, rank, width, vector, mix, factor_.data()), cancelled);
    } else {
      engine_->matmul(matrix_product(rank, length, width, mix, vector, factor_.data()), cancelled);
    }
    narrow(task.dtype, factor_.data(), rank * length, to);
  };
  // R^T = left S right^T, so that the matrix is (tall left) S (wide right)^T.
  write(left, tall_, task.rows, !task.transposed, task.transposed ? task.a : task.b);
  write(right, wide_, task.columns, task.transposed, task.transposed ? task.b : task.a);
}

// What the factors give as they are stored.
void TruncatedSvd::measure(const LowRankTask& task, LowRankOutcome& outcome, WmCancelFlag cancelled) {
  const uint64_t rows = task.rows, columns = task.columns, rank = outcome.rank;
  const int32_t dtype = static_cast<int32_t>(task.dtype);
  const uint64_t item = item_size(task.dtype);
  block_.resize(kBlockRows * columns);
  sums_.assign(2 * kBlockRows, 0);
  for (uint64_t first = 0; first < rows; first += kBlockRows) {
    const uint64_t count = std::min(kBlockRows, rows - first);
    // Row i of the product is row i of B times A, or column i of A times B^T.
    const uint8_t* const from = static_cast<const uint8_t*>(task.transposed ? task.a : task.b);
    const WmMatrix left = {dtype, from + (task.transposed ? first : first * rank) * item,
                           task.transposed ? 1 : rank, task.transposed ? rows : 1};
    const WmMatrix right = {dtype, task.transposed ? task.b : task.a, task.transposed ? rank : 1,
                            task.transposed ? 1 : columns};
    engine_->matmul(matrix_product(count, columns, rank, left, right, block_.data()), cancelled);
    pool_.parallel_for(count, 8, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) {
        const float *const p = block_.data() + i * columns, *const x = task.matrix + (first + i) * columns;
        sums_[2 * i] = sum_squares(columns, [p](uint64_t j) { return static_cast<double>(p[j]); });
        sums_[2 * i + 1] = sum_squares(
            columns, [p, x](uint64_t j) { return static_cast<double>(x[j]) - static_cast<double>(p[j]); });
      }
    });
    for (uint64_t i = 0; i < count; i++) {
      outcome.product += sums_[2 * i];
      outcome.residual += sums_[2 * i + 1];
    }
  }
  if (!std::isfinite(outcome.residual)) {
    throw Error("ERR_DATA", std::string("the factors overflow ") + dtype_info(task.dtype).name);
  }
}

}  // namespace wisemerge
