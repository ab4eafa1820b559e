// The loss of a language model or a classifier, row by row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/thread_pool.h"
#include "wisemerge/loss_row.h"

namespace wisemerge::network {

// Losses of rows whose logits come slice by slice: -log softmax(z)[label] in nats, as LossRow has it.
class TokenLosses {
 public:
  // Labels [rows]; negative ones do not count. They must outlive this.
  TokenLosses(const int32_t* labels, size_t rows);

  // Classes first to first + classes, logits [rows, classes].
  void add(ThreadPool& pool, const float* logits, size_t first, size_t classes);

  // out [rows]: 0 where the label is negative.
  void finish(float* out) const;

 private:
  const int32_t* const labels_;
  std::vector<LossRow> rows_;
};

}  // namespace wisemerge::network
