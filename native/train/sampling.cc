#include "train/sampling.h"

#include <algorithm>
#include <numeric>

#include "core/status.h"
#include "train/philox.h"

namespace wisemerge::train {
namespace {

// Two 64-bit numbers for one place in one epoch.
struct Draw {
  uint64_t first, second;
};

Draw draw(const Sampling& sampling, uint64_t place) {
  const auto low = [](uint64_t word) { return static_cast<uint32_t>(word); };
  const auto words = philox({low(place), low(place >> 32), low(sampling.epoch), 0},
                            {low(sampling.seed), low(sampling.seed >> 32)});
  return {words[0] | uint64_t{words[1]} << 32, words[2] | uint64_t{words[3]} << 32};
}

// A number below `limit`; the odds differ by less than limit / 2^64.
uint64_t below(uint64_t random, uint64_t limit) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(random) * limit) >> 64);
}

std::vector<uint32_t> permutation(uint64_t samples, const Sampling& sampling) {
  std::vector<uint32_t> order(samples);
  std::iota(order.begin(), order.end(), 0u);
  for (uint64_t i = samples; i > 1; i--) std::swap(order[i - 1], order[below(draw(sampling, i).first, i)]);
  return order;
}

std::vector<uint32_t> balanced(const int32_t* labels, uint64_t samples, const Sampling& sampling) {
  std::vector<uint32_t> by_class(samples);
  std::iota(by_class.begin(), by_class.end(), 0u);
  std::stable_sort(by_class.begin(), by_class.end(),
                   [&](uint32_t a, uint32_t b) { return labels[a] < labels[b]; });
  std::vector<uint64_t> starts;
  for (uint64_t i = 0; i < samples; i++) {
    if (i == 0 || labels[by_class[i]] != labels[by_class[i - 1]]) starts.push_back(i);
  }
  starts.push_back(samples);
  const uint64_t classes = starts.size() - 1;
  std::vector<uint32_t> order(samples);
  for (uint64_t i = 0; i < samples; i++) {
    const Draw random = draw(sampling, i);
    const uint64_t c = below(random.first, classes);
    order[i] = by_class[starts[c] + below(random.second, starts[c + 1] - starts[c])];
  }
  return order;
}

}  // namespace

std::vector<uint32_t> epoch_order(const int32_t* labels, uint64_t samples, const Sampling& sampling) {
  if (samples > UINT32_MAX) {
    throw Error("ERR_INTERNAL_ARGUMENT", "an epoch of " + std::to_string(samples) + " samples is too long");
  }
  return sampling.balanced ? balanced(labels, samples, sampling) : permutation(samples, sampling);
}

}  // namespace wisemerge::train
