// Softmax cross-entropy with label smoothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/thread_pool.h"

namespace wisemerge::train {

struct LossSums {
  double loss = 0;       // summed over samples, in nats
  uint64_t correct = 0;  // samples whose label is the argmax; the lowest class wins a tie
};

// The loss of each row of `logits`, [rows, classes], against the distribution that gives every class
// smoothing / classes and the label 1 - smoothing more (Szegedy et al., 2016, section 7). With `gradient`,
// the logits are overwritten by the gradient of the mean loss: (softmax - target) / rows. labels[i] is in
// [0, classes), checked by the caller. `losses` is scratch.
LossSums cross_entropy(ThreadPool& pool, float* logits, const int32_t* labels, size_t rows, size_t classes,
                       double smoothing, bool gradient, std::vector<double>& losses);

}  // namespace wisemerge::train
