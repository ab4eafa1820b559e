#include "network/token_loss.h"

#include <algorithm>

#include "network/activations.h"
#include "wisemerge/lane_sum.h"
#include "wisemerge/network_functions.h"

namespace wisemerge::network {

TokenLosses::TokenLosses(const int32_t* labels, size_t rows)
    : labels_(labels), rows_(rows, LossRow::empty()) {}

void TokenLosses::add(ThreadPool& pool, const float* logits, size_t first, size_t classes) {
  pool.parallel_for(rows_.size(), grain_of(classes), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      if (labels_[i] < 0) continue;
      LossRow& row = rows_[i];
      const float* const z = logits + i * classes;
      for (size_t at = 0; at < classes; at += kLossBlock) {
        const size_t count = std::min<size_t>(kLossBlock, classes - at);
        const float* const block = z + at;
        float top = row.top;
        for (size_t c = 0; c < count; c++) top = block[c] > top ? block[c] : top;
        row.add(top, lane_sum<float>(count, [&](size_t c) { return exp_nonpositive(block[c] - top); }));
      }
      const size_t label = static_cast<size_t>(labels_[i]);
      if (label >= first && label < first + classes) row.label = z[label - first];
    }
  });
}

void TokenLosses::finish(float* out) const {
  for (size_t i = 0; i < rows_.size(); i++) out[i] = labels_[i] < 0 ? 0 : rows_[i].loss();
}

}  // namespace wisemerge::network
