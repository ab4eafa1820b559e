// The loss of a language model or a classifier, row by row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/thread_pool.h"

namespace wisemerge::network {

// Classes that a row's sum takes at a time. Logits may come in slices of a multiple of it, in order: the bits
// are those of all at once.
inline constexpr size_t kLossBlock = 256;

// Losses of rows whose logits come slice by slice: -log softmax(z)[label] in nats, by a running maximum and a
// sum of exponentials relative to it, terms in f32 and sums in f64.
class TokenLosses {
 public:
  // Labels [rows]; negative ones do not count. They must outlive this.
  TokenLosses(const int32_t* labels, size_t rows);

  // Classes first to first + classes, logits [rows, classes].
  void add(ThreadPool& pool, const float* logits, size_t first, size_t classes);

  // out [rows]: 0 where the label is negative.
  void finish(float* out) const;

 private:
  struct Row {
    float top, label;
    double sum;
  };
  const int32_t* const labels_;
  std::vector<Row> rows_;
};

}  // namespace wisemerge::network
