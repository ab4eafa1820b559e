// Linear systems with one symmetric positive definite matrix and many right-hand sides, in f64. Every element
// is one chain of operations in a fixed order, whatever the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "core/thread_pool.h"

namespace wisemerge {

class Cholesky {
 public:
  // `matrix`, [n][n], of which the upper triangle counts. A variable whose row is 0 is left out: it is 0 in
  // every solution.
  Cholesky(std::vector<double> matrix, uint64_t n, ThreadPool& pool);

  // Whether the matrix is positive definite, by more than rounding.
  bool definite() const { return definite_; }
  // Replaces every row b of `rows`, [count][n], by the x with x A = b.
  void solve(double* rows, uint64_t count) const;

 private:
  void factor();
  void factor_panel(uint64_t begin, uint64_t end);
  void mirror();

  std::vector<double> factor_;  // U with A = Uᵀ U, and Uᵀ below the diagonal
  const uint64_t n_;
  ThreadPool& pool_;
  std::vector<double> diagonal_;  // of A
  bool definite_ = true;
};

}  // namespace wisemerge
