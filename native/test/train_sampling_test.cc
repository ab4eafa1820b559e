// The random numbers against the published known answers, and the orders of epochs.
#include <algorithm>
#include <map>
#include <vector>

#include "check.h"
#include "train/philox.h"
#include "train/sampling.h"

namespace wisemerge::test {

using namespace wisemerge::train;

TEST("train sampling: Philox4x32-10's known answers") {
  // Of the Random123 distribution's test vectors.
  const std::array<uint32_t, 4> zeros = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  const std::array<uint32_t, 4> ones = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == zeros);
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == ones);
}

TEST("train sampling: an epoch visits every sample once, in an order of its own") {
  const std::vector<int32_t> labels(1000);
  const auto order = [&](uint64_t seed, uint64_t epoch) {
    return epoch_order(labels.data(), labels.size(), {seed, epoch, false});
  };
  const std::vector<uint32_t> first = order(1, 1);
  std::vector<uint32_t> sorted = first;
  std::sort(sorted.begin(), sorted.end());
  for (uint32_t i = 0; i < sorted.size(); i++) CHECK_EQ(sorted[i], i);
  CHECK(first == order(1, 1));
  CHECK(first != order(1, 2));
  CHECK(first != order(2, 1));
  CHECK(first != order(1 + (uint64_t{1} << 32), 1));
  // Each half of the samples comes about equally in each half of the order.
  size_t low = 0;
  for (size_t i = 0; i < 500; i++) low += first[i] < 500;
  CHECK(low > 200 && low < 300);
  CHECK(epoch_order(labels.data(), 0, {1, 1, false}).empty());
  CHECK_EQ(epoch_order(labels.data(), 1, {1, 1, true})[0], 0u);
}

TEST("train sampling: balanced epochs draw rare classes as often as frequent ones") {
  std::vector<int32_t> labels(10'000, 4);
  for (size_t i = 0; i < 100; i++) labels[i * 50] = 7;
  labels[1] = 2;
  const std::vector<uint32_t> order = epoch_order(labels.data(), labels.size(), {5, 3, true});
  CHECK_EQ(order.size(), labels.size());
  std::map<int32_t, size_t> drawn;
  for (const uint32_t sample : order) drawn[labels[sample]]++;
  CHECK_EQ(drawn.size(), size_t{3});
  // A third each, with a standard deviation of 47.
  for (const auto& [label, count] : drawn) CHECK(count > 3100 && count < 3567);
}

}  // namespace wisemerge::test
