// The QR factorisation of a tall matrix, whose columns lie as vectors one behind another.
#pragma once

#include <cstdint>
#include <vector>

#include "core/thread_pool.h"
#include "wisemerge/backend.h"

namespace wisemerge {

// Householder QR in f64, block by block, the blocks' triangles by one more QR (Demmel, Grigori, Hoemmen and
// Langou, 2012, "Communication-optimal parallel and sequential QR and LU factorizations", TSQR). The blocks
// follow from the sizes, so that no bit depends on threads.
class TallQr {
 public:
  explicit TallQr(ThreadPool& pool) : pool_(pool) {}

  // `vectors`: `count` of `length` numbers each, count <= length. They become an orthonormal basis q of a
  // space that holds them, whatever their rank: vector j was the sum over i <= j of triangle[i * count + j]
  // q_i. Throws Error: ERR_ABORTED.
  void run(float* vectors, uint64_t count, uint64_t length, WmCancelFlag cancelled);

  // [count, count], of the last run.
  const std::vector<double>& triangle() const { return triangle_; }

 private:
  ThreadPool& pool_;
  std::vector<double> reflectors_, scales_, stacked_, column_, triangle_;
};

}  // namespace wisemerge
