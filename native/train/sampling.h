// Which samples an epoch visits, and in which order.
#pragma once

#include <cstdint>
#include <vector>

namespace wisemerge::train {

struct Sampling {
  uint64_t seed = 0;
  uint64_t epoch = 1;     // below 2^31
  bool balanced = false;  // draw classes evenly instead of visiting every sample once

  bool operator==(const Sampling&) const = default;
};

// `samples` indices, a function of the arguments alone. Plain: a permutation (Fisher and Yates). Balanced:
// each a sample drawn evenly, with replacement, from a class drawn evenly among those that occur. `samples`
// is below 2^32. Throws Error ERR_INTERNAL_ARGUMENT.
std::vector<uint32_t> epoch_order(const int32_t* labels, uint64_t samples, const Sampling& sampling);

}  // namespace wisemerge::train
