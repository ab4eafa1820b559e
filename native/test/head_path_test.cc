// Exact intervals of linear heads against brute force in f64, and the runs that alphas go in.
#include <algorithm>
#include <cmath>
#include <limits>

#include "head_fixture.h"
#include "wisemerge/alpha_runs.h"

namespace wisemerge::test {
namespace {

std::vector<double> many_alphas(size_t count) {
  std::vector<double> all = {0, 1, 0.5, 0.25, 1.0 / 3, 2.0 / 3, 0.75};
  std::mt19937_64 random(7);
  while (all.size() < count) all.push_back(std::uniform_real_distribution<double>(0, 1)(random));
  return all;
}

}  // namespace

TEST("head: path is brute force at thousands of alphas") {
  for (const size_t classes : {2, 10, 77}) {
    const Logits logits(40, classes, false, classes);
    const auto alphas = many_alphas(2000);
    for (const char* isa : kIsas) {
      const Path path(isa, 2, logits);
      size_t right = 0;
      for (size_t i = 0; i < logits.rows; i++) {
        for (const double alpha : alphas) {
          CHECK_EQ(path.correct(i, alpha), logits.argmax(i, alpha) == logits.labels[i]);
          right += path.correct(i, alpha);
        }
      }
      CHECK(right > 0 && right < logits.rows * alphas.size());
    }
  }
}

TEST("head: path breaks ties as argmax does") {
  // Whole-number logits: crossings at 0, 1/4, 1/3, 1/2 …, parallel and equal classes, all of them exact or
  // nearly so in f64. Alphas that f64 holds exactly leave no doubt about the sign of a margin.
  const Logits logits(3000, 21, true, 3);
  std::vector<double> alphas;
  for (int i = 0; i <= 64; i++) alphas.push_back(i / 64.0);
  for (const char* isa : kIsas) {
    const Path path(isa, 3, logits);
    size_t points = 0, empty = 0;
    for (size_t i = 0; i < logits.rows; i++) {
      for (const double alpha : alphas) {
        CHECK_EQ(path.correct(i, alpha), logits.argmax(i, alpha) == logits.labels[i]);
      }
      points += path.lo[i] == path.hi[i];
      empty += path.lo[i] > path.hi[i];
    }
    CHECK(points > 0);
    CHECK(empty > 0);
  }
}

TEST("head: path outside 0 to 1") {
  const Logits logits(60, 30, false, 8);
  const Path path("avx512", 1, logits, -2, 3);
  std::mt19937_64 random(1);
  for (int n = 0; n < 1000; n++) {
    const double alpha = std::uniform_real_distribution<double>(-2, 3)(random);
    for (size_t i = 0; i < logits.rows; i++) {
      CHECK_EQ(path.correct(i, alpha), logits.argmax(i, alpha) == logits.labels[i]);
    }
  }
}

TEST("head: path of one class and of nan") {
  const Logits one(5, 1, false, 1);
  const Path all("avx512", 1, one);
  for (size_t i = 0; i < one.rows; i++) CHECK(all.correct(i, 0) && all.correct(i, 0.3) && all.correct(i, 1));
  Logits broken(3, 40, false, 1);
  for (size_t i = 0; i < broken.rows; i++) {
    broken.z1[i * broken.stride + (static_cast<size_t>(broken.labels[i]) + 1) % 40] =
        std::numeric_limits<float>::quiet_NaN();
  }
  const Path none("avx512", 1, broken);
  for (size_t i = 0; i < broken.rows; i++) CHECK(!none.correct(i, 0.5));
}

TEST("head: evenly spaced alphas go in runs, others by themselves") {
  const auto counts = [](const std::vector<double>& alphas, size_t asked, float step) {
    const AlphaRuns found = alpha_runs({alphas.begin(), alphas.end()}, asked);
    CHECK(std::fabs(found.step - step) <= 1e-7f);
    std::vector<uint32_t> lengths;
    size_t next = 0;
    for (const AlphaRun& run : found.runs) {
      CHECK_EQ(run.first, next);
      next += run.count;
      lengths.push_back(run.count);
    }
    CHECK_EQ(next, alphas.size());
    return lengths;
  };
  std::vector<double> grid;
  for (int k = 0; k <= 20; k++) grid.push_back(k / 20.0);
  CHECK(counts(grid, 21, 0.05f) == (std::vector<uint32_t>{5, 5, 5, 5, 1}));
  CHECK(counts(grid, 19, 0.05f) == (std::vector<uint32_t>{5, 5, 5, 1, 1, 1, 1, 1, 1}));
  grid.insert(grid.begin() + 7, 0.33);
  CHECK(counts(grid, 22, 0.05f) == (std::vector<uint32_t>{5, 1, 1, 1, 5, 5, 1, 1, 1, 1}));
  CHECK(counts({1, 0.75, 0.5, 0.25, 0}, 5, -0.25f) == (std::vector<uint32_t>{5}));
  CHECK(counts({0, 0.1, 0.2, 0.3}, 4, 0) == (std::vector<uint32_t>{1, 1, 1, 1}));
  CHECK(counts({0.5, 0.5, 0.5, 0.5, 0.5}, 5, 0) == (std::vector<uint32_t>{1, 1, 1, 1, 1}));
  CHECK(counts({0, 0.1, 0.2, 0.3, 0.41}, 5, 0).size() == 5);
  std::vector<double> many;
  for (int k = 0; k < 1030; k++) many.push_back(k / 1024.0);
  for (const AlphaRun& run : alpha_runs({many.begin(), many.end()}, many.size()).runs) {
    CHECK(run.first / kAlphaBlock == (run.first + run.count - 1) / kAlphaBlock);
  }
  // Block by block, with two alphas behind each, the same runs at the same step.
  const AlphaRuns all = alpha_runs({many.begin(), many.end()}, many.size());
  std::vector<AlphaRun> joined;
  for (uint32_t begin = 0; begin < many.size(); begin += kAlphaBlock) {
    const uint32_t count = std::min<uint32_t>(kAlphaBlock, static_cast<uint32_t>(many.size()) - begin);
    const AlphaRuns block = runs_of_block(all, begin, count + 2);
    CHECK(block.step == all.step);
    CHECK_EQ(block.runs.back().first, count + 1);
    for (size_t r = 0; r + 2 < block.runs.size(); r++) {
      joined.push_back({block.runs[r].first + begin, block.runs[r].count});
    }
  }
  CHECK_EQ(joined.size(), all.runs.size());
  for (size_t r = 0; r < joined.size(); r++) {
    CHECK(joined[r].first == all.runs[r].first && joined[r].count == all.runs[r].count);
  }
}

}  // namespace wisemerge::test
