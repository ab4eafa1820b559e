#include "merge/cholesky.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace wisemerge {
namespace {

// Rows of the factor that the rest takes into account together.
constexpr uint64_t kPanel = 64;
// Right-hand sides that share one pass over the factor.
constexpr uint64_t kTogether = 32;
// What rounding leaves of a pivot that should be 0, of the diagonal.
constexpr double kRounding = 1e-13;

// to -= by * from
void subtract(double* to, double by, const double* from, uint64_t count) {
  for (uint64_t k = 0; k < count; k++) to[k] -= by * from[k];
}

}  // namespace

Cholesky::Cholesky(std::vector<double> matrix, uint64_t n, ThreadPool& pool)
    : factor_(std::move(matrix)), n_(n), pool_(pool), diagonal_(n) {
  for (uint64_t i = 0; i < n_; i++) {
    double& pivot = factor_[i * n_ + i];
    if (pivot == 0) pivot = 1;
    diagonal_[i] = pivot;
  }
  factor();
}

void Cholesky::factor() {
  for (uint64_t begin = 0; begin < n_ && definite_; begin += kPanel) {
    const uint64_t end = std::min(n_, begin + kPanel);
    factor_panel(begin, end);
    pool_.parallel_for(n_ - end, 8, [&](size_t from, size_t to) {
      for (uint64_t i = end + from; i < end + to; i++) {
        double* const row = factor_.data() + i * n_;
        for (uint64_t p = begin; p < end; p++) {
          const double* const pivot = factor_.data() + p * n_;
          subtract(row + i, pivot[i], pivot + i, n_ - i);
        }
      }
    });
  }
  mirror();
}

void Cholesky::factor_panel(uint64_t begin, uint64_t end) {
  for (uint64_t j = begin; j < end; j++) {
    double* const row = factor_.data() + j * n_;
    if (!(row[j] > kRounding * diagonal_[j])) {
      definite_ = false;
      return;
    }
    const double root = std::sqrt(row[j]);
    for (uint64_t k = j; k < n_; k++) row[k] /= root;
    for (uint64_t i = j + 1; i < end; i++) subtract(factor_.data() + i * n_ + i, row[i], row + i, n_ - i);
  }
}

void Cholesky::mirror() {
  for (uint64_t i = 0; i < n_; i++) {
    for (uint64_t j = 0; j < i; j++) factor_[i * n_ + j] = factor_[j * n_ + i];
  }
}

void Cholesky::solve(double* rows, uint64_t count) const {
  const uint64_t groups = (count + kTogether - 1) / kTogether;
  pool_.parallel_for(groups, 1, [&](size_t from, size_t to) {
    for (uint64_t group = from; group < to; group++) {
      double* const first = rows + group * kTogether * n_;
      const uint64_t these = std::min(kTogether, count - group * kTogether);
      // y U = b, then x Uᵀ = y.
      for (uint64_t j = 0; j < n_; j++) {
        const double* const u = factor_.data() + j * n_;
        for (uint64_t r = 0; r < these; r++) {
          double* const row = first + r * n_;
          row[j] /= u[j];
          subtract(row + j + 1, row[j], u + j + 1, n_ - j - 1);
        }
      }
      for (uint64_t j = n_; j-- > 0;) {
        const double* const u = factor_.data() + j * n_;
        for (uint64_t r = 0; r < these; r++) {
          double* const row = first + r * n_;
          row[j] /= u[j];
          subtract(row, row[j], u, j);
        }
      }
    }
  });
}

}  // namespace wisemerge
