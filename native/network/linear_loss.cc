#include "network/linear_loss.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "network/token_loss.h"

namespace wisemerge::network {

void LinearLosses::run(const LinearLoss& call, uint32_t weight, double alpha, uint32_t bias,
                       double bias_alpha, WmCancelFlag cancelled) {
  std::fill(call.out, call.out + call.rows, 0.0f);
  std::vector<uint64_t> counted;
  for (uint64_t i = 0; i < call.rows; i++) {
    if (call.labels[i] >= 0) counted.push_back(i);
  }
  const uint64_t most = std::min<uint64_t>(std::max<uint64_t>(most_ / call.classes, 1), counted.size());
  std::vector<int32_t> labels(most);
  for (uint64_t first = 0; first < counted.size(); first += most) {
    const uint64_t rows = std::min<uint64_t>(most, counted.size() - first);
    float* const x = x_.reserve(most * call.inputs);
    for (uint64_t r = 0; r < rows; r++) {
      const uint64_t from = counted[first + r];
      std::memcpy(x + r * call.inputs, call.x + from * call.inputs, call.inputs * sizeof(float));
      labels[r] = call.labels[from];
    }
    float* const logits = logits_.reserve(most * call.classes);
    float* const losses = losses_.reserve(most);
    weights_.product({rows, call.inputs, call.classes, false, x, logits}, weight, alpha, bias, bias_alpha,
                     cancelled);
    token_losses(pool_, logits, labels.data(), rows, call.classes, losses);
    for (uint64_t r = 0; r < rows; r++) call.out[counted[first + r]] = losses[r];
  }
}

}  // namespace wisemerge::network
