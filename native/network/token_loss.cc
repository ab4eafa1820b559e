#include "network/token_loss.h"

#include <cmath>

#include "network/activations.h"
#include "network/functions.h"
#include "network/sums.h"

namespace wisemerge::network {

void token_losses(ThreadPool& pool, const float* logits, const int32_t* labels, size_t rows, size_t classes,
                  float* out) {
  pool.parallel_for(rows, grain_of(classes), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      if (labels[i] < 0) {
        out[i] = 0;
        continue;
      }
      const float* const z = logits + i * classes;
      float top = z[0];
      for (size_t c = 1; c < classes; c++) top = z[c] > top ? z[c] : top;
      const double sum = lane_sum<float>(classes, [&](size_t c) { return exp_nonpositive(z[c] - top); });
      const double label = static_cast<double>(z[labels[i]]) - static_cast<double>(top);
      out[i] = static_cast<float>(std::log(sum) - label);
    }
  });
}

}  // namespace wisemerge::network
