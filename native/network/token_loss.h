// The loss of a language model or a classifier, row by row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"

namespace wisemerge::network {

// out[i] = -log softmax(z_i)[labels[i]] in nats for logits z [rows, classes]; 0 where the label is negative.
// Labels are below `classes`. By the logarithm of the sum of exponentials relative to the largest logit,
// whose terms are f32 and whose sum is f64.
void token_losses(ThreadPool& pool, const float* logits, const int32_t* labels, size_t rows, size_t classes,
                  float* out);

}  // namespace wisemerge::network
