#include "network/token_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "network/activations.h"
#include "network/functions.h"
#include "network/sums.h"

namespace wisemerge::network {

TokenLosses::TokenLosses(const int32_t* labels, size_t rows)
    : labels_(labels), rows_(rows, {-std::numeric_limits<float>::infinity(), 0, 0}) {}

void TokenLosses::add(ThreadPool& pool, const float* logits, size_t first, size_t classes) {
  pool.parallel_for(rows_.size(), grain_of(classes), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      if (labels_[i] < 0) continue;
      Row& row = rows_[i];
      const float* const z = logits + i * classes;
      for (size_t at = 0; at < classes; at += kLossBlock) {
        const size_t count = std::min(kLossBlock, classes - at);
        const float* const block = z + at;
        float top = row.top;
        for (size_t c = 0; c < count; c++) top = block[c] > top ? block[c] : top;
        const double shrink = std::exp(static_cast<double>(row.top) - static_cast<double>(top));
        row.sum = row.sum * (at + first == 0 ? 0 : shrink) +
                  lane_sum<float>(count, [&](size_t c) { return exp_nonpositive(block[c] - top); });
        row.top = top;
      }
      const size_t label = static_cast<size_t>(labels_[i]);
      if (label >= first && label < first + classes) row.label = z[label - first];
    }
  });
}

void TokenLosses::finish(float* out) const {
  for (size_t i = 0; i < rows_.size(); i++) {
    const Row& row = rows_[i];
    const double label = static_cast<double>(row.label) - static_cast<double>(row.top);
    out[i] = labels_[i] < 0 ? 0 : static_cast<float>(std::log(row.sum) - label);
  }
}

}  // namespace wisemerge::network
