// The best approximation of a matrix by a product of two narrow ones, as a LoRA adapter holds it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/engine.h"
#include "core/thread_pool.h"
#include "merge/lowrank/tall_qr.h"
#include "wisemerge/dtype.h"

namespace wisemerge {

// What is asked of a matrix [rows, columns], f32, row by row.
struct LowRankTask {
  const float* matrix;
  uint64_t rows, columns;
  uint64_t rank;  // at most
  // The rank is the least that captures this share of the matrix's squares; 1: `rank`, or what there is.
  double energy;
  uint64_t key;  // of the random start
  // Of the factors: F32, F16 or BF16. There is room for `rank` of each at a and b.
  DType dtype;
  // The product is B A for A [rank, columns] and B [rows, rank]; transposed, it is (B A)^T for A [rank, rows]
  // and B [columns, rank].
  bool transposed;
  void *a, *b;
};

struct LowRankOutcome {
  uint64_t rank;  // of the factors that were written; 0: the matrix is zero
  // Sums of squares: of the matrix, of the product of the factors as they are stored, and of what is left.
  double matrix, product, residual;
  std::vector<double> values;  // singular, those of the product
};

// Subspace iteration from a random start (Halko, Martinsson and Tropp, 2011, "Finding structure with
// randomness", algorithm 4.4), with an orthonormal basis after every product, then the decomposition of the
// matrix on that basis (algorithm 5.1). Products are WmMatmul, all else is f64.
class TruncatedSvd {
 public:
  // Vectors of the basis beyond the rank, and pairs of products with the matrix beyond the first.
  static constexpr uint64_t kOversampling = 10, kIterations = 4;
  // Singular values below this share of the matrix's norm are rounding errors of the products.
  static constexpr double kNoise = 0x1p-21;

  // `threads` 0: all. No result depends on them.
  TruncatedSvd(std::shared_ptr<Engine> engine, int threads);

  // Throws Error: ERR_ABORTED, ERR_DATA where the matrix or a factor is not finite, and as Engine::matmul.
  LowRankOutcome run(const LowRankTask& task, WmCancelFlag cancelled);

 private:
  double squares(const float* matrix, uint64_t rows, uint64_t columns);
  void draw(uint64_t key, uint64_t count);
  void find_range(const LowRankTask& task, uint64_t width, WmCancelFlag cancelled);
  void store(const LowRankTask& task, uint64_t width, const std::vector<double>& left,
             const std::vector<double>& right, LowRankOutcome& outcome, WmCancelFlag cancelled);
  void measure(const LowRankTask& task, LowRankOutcome& outcome, WmCancelFlag cancelled);

  const std::shared_ptr<Engine> engine_;
  ThreadPool pool_;
  TallQr qr_;
  // Bases of the matrix's columns [width, rows] and rows [width, columns], and what products need.
  std::vector<float> tall_, wide_, weights_, factor_, block_;
  std::vector<double> sums_;
};

}  // namespace wisemerge
