// Exact intervals, metrics and moments of linear heads against brute force in f64.
#include "wisemerge/head.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "lerp_fixture.h"
#include "wisemerge/alpha_runs.h"

namespace wisemerge::test {
namespace {

constexpr const char* kIsas[] = {"baseline", "avx2", "avx512"};

struct Logits {
  // With `grid`, logits are small whole numbers, so that ties abound.
  Logits(size_t rows, size_t classes, bool grid, uint64_t seed, double scale = 3)
      : rows(rows),
        classes(classes),
        stride(classes + 3),
        z0(rows * stride),
        z1(rows * stride),
        labels(rows) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal(0, scale);
    for (float* z : {z0.data(), z1.data()}) {
      for (size_t i = 0; i < rows * stride; i++) {
        z[i] = static_cast<float>(grid ? static_cast<double>(random() % 5) : normal(random));
      }
    }
    for (size_t i = 0; i < rows; i++) {
      labels[i] = static_cast<int32_t>(random() % classes);
      if (!grid)
        z0[i * stride + static_cast<size_t>(labels[i])] += 4,
            z1[i * stride + static_cast<size_t>(labels[i])] += 5;
    }
  }
  WmLogits view() const { return {rows, classes, stride, z0.data(), z1.data(), labels.data()}; }
  double at(size_t i, size_t c, double alpha) const {
    const double x = z0[i * stride + c], y = z1[i * stride + c];
    return x + alpha * (y - x);
  }
  // The lowest class among the highest.
  int32_t argmax(size_t i, double alpha) const {
    size_t best = 0;
    for (size_t c = 1; c < classes; c++) {
      if (at(i, c, alpha) > at(i, best, alpha)) best = c;
    }
    return static_cast<int32_t>(best);
  }
  size_t rows, classes, stride;
  std::vector<float> z0, z1;
  std::vector<int32_t> labels;
};

struct Path {
  Path(const char* isa, int threads, const Logits& logits, double from = 0, double to = 1)
      : lo(logits.rows), hi(logits.rows), open(logits.rows) {
    const WmOpenOptions options = {0, threads, isa, WM_EXACT, 0};
    WmError error{};
    if (backend->open(&options, &context, &error) != WM_OK) throw std::runtime_error(error.message);
    const WmPath call{logits.view(), from, to, lo.data(), hi.data(), open.data()};
    CHECK_EQ(backend->head_path(context, &call, nullptr, &error), WM_OK);
  }
  ~Path() { backend->close(context); }
  bool correct(size_t i, double alpha) const {
    return (alpha > lo[i] || (alpha == lo[i] && !(open[i] & 1))) &&
           (alpha < hi[i] || (alpha == hi[i] && !(open[i] & 2)));
  }
  const WmBackend* backend = wisemerge_cpu_backend();
  WmContext* context = nullptr;
  std::vector<double> lo, hi;
  std::vector<uint8_t> open;
};

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

TEST("head: metrics equal their definitions") {
  // With runs of steps that a row's logits allow, and do not.
  const std::vector<double> alphas = {0, 0.25, 0.37, 0.4, 0.43, 0.46, 0.49, 0.5, 1};
  for (const double scale : {1.0, 3.0, 100.0, 1e4}) {
    const Logits logits(150, 37, false, 11, scale);
    for (const char* isa : kIsas) {
      const Path path(isa, 2, logits);
      std::vector<double> sums(alphas.size() * kMetricColumns);
      std::vector<uint32_t> predicted(alphas.size() * logits.classes);
      std::vector<int32_t> predictions(alphas.size() * logits.rows);
      const WmHeadMetrics call{logits.view(),    path.lo.data(),   path.hi.data(),
                               path.open.data(), alphas.data(),    static_cast<uint32_t>(alphas.size()),
                               sums.data(),      predicted.data(), predictions.data()};
      WmError error{};
      CHECK_EQ(path.backend->head_metrics(path.context, &call, nullptr, &error), WM_OK);
      for (size_t k = 0; k < alphas.size(); k++) {
        double top1 = 0, top5 = 0, nll = 0, nll2 = 0, brier = 0, from0 = 0, from1 = 0;
        std::vector<double> count(kCalibrationBins), hits(kCalibrationBins), confidence(kCalibrationBins);
        std::vector<uint32_t> classes(logits.classes);
        for (size_t i = 0; i < logits.rows; i++) {
          const auto label = static_cast<size_t>(logits.labels[i]);
          double top = -INFINITY, sum = 0, squares = 0;
          size_t above = 0;
          for (size_t c = 0; c < logits.classes; c++) top = std::max(top, logits.at(i, c, alphas[k]));
          for (size_t c = 0; c < logits.classes; c++) {
            sum += std::exp(logits.at(i, c, alphas[k]) - top);
            const double z = logits.at(i, c, alphas[k]), own = logits.at(i, label, alphas[k]);
            above += c != label && (z > own || (z == own && c < label));
          }
          for (size_t c = 0; c < logits.classes; c++) {
            const double p = std::exp(logits.at(i, c, alphas[k]) - top) / sum;
            squares += (p - (c == label)) * (p - (c == label));
          }
          const double own_nll = top + std::log(sum) - logits.at(i, label, alphas[k]);
          const int32_t best = logits.argmax(i, alphas[k]);
          const double p = 1 / sum;
          const auto bin = static_cast<size_t>(std::max(0.0, std::ceil(p * kCalibrationBins) - 1));
          const bool hit = best == logits.labels[i];
          top1 += hit, top5 += above < 5, nll += own_nll, nll2 += own_nll * own_nll, brier += squares;
          from0 += best != logits.argmax(i, 0), from1 += best != logits.argmax(i, 1);
          count[bin]++, hits[bin] += hit, confidence[bin] += p;
          classes[static_cast<size_t>(best)]++;
          CHECK_EQ(predictions[k * logits.rows + i], best);
        }
        const double* const got = sums.data() + k * kMetricColumns;
        const auto near = [](double a, double b) { return std::fabs(a - b) <= 2e-6 * (1 + std::fabs(b)); };
        CHECK_EQ(got[kTop1], top1);
        CHECK_EQ(got[kTop5], top5);
        CHECK(near(got[kNll], nll));
        CHECK(near(got[kNllSquares], nll2));
        CHECK(near(got[kBrier], brier));
        CHECK_EQ(got[kDisagreeZeroshot], from0);
        CHECK_EQ(got[kDisagreeFinetuned], from1);
        for (size_t b = 0; b < kCalibrationBins; b++) {
          CHECK_EQ(got[kBinCount + b], count[b]);
          CHECK_EQ(got[kBinCorrect + b], hits[b]);
          CHECK(near(got[kBinConfidence + b], confidence[b]));
        }
        for (size_t c = 0; c < logits.classes; c++) CHECK_EQ(predicted[k * logits.classes + c], classes[c]);
      }
    }
  }
}

TEST("head: sums depend on neither level nor threads") {
  const Logits logits(500, 133, false, 5);
  const std::vector<double> alphas = {0.4, 0.5, 0.6, 0.7, 0.8, 0.95};
  std::vector<double> first, first_moments;
  for (const char* isa : kIsas) {
    for (const int threads : {1, 2, 5}) {
      const Path path(isa, threads, logits);
      std::vector<double> sums(alphas.size() * kMetricColumns), moments(6);
      const WmHeadMetrics call{logits.view(),    path.lo.data(), path.hi.data(),
                               path.open.data(), alphas.data(),  static_cast<uint32_t>(alphas.size()),
                               sums.data(),      nullptr,        nullptr};
      const WmHeadMoments second{logits.view(), nullptr, 1.1, 0.4, moments.data()};
      WmError error{};
      CHECK_EQ(path.backend->head_metrics(path.context, &call, nullptr, &error), WM_OK);
      CHECK_EQ(path.backend->head_moments(path.context, &second, nullptr, &error), WM_OK);
      if (first.empty()) first = sums, first_moments = moments;
      CHECK(std::memcmp(first.data(), sums.data(), sums.size() * sizeof(double)) == 0);
      CHECK(std::memcmp(first_moments.data(), moments.data(), moments.size() * sizeof(double)) == 0);
    }
  }
}

TEST("head: batches add up to the sums of the whole") {
  const Logits logits(300, 40, false, 6);
  const Path path("avx512", 2, logits);
  const std::vector<double> alphas = {0.1, 0.6};
  const auto sums_of = [&](const std::vector<size_t>& cuts) {
    std::vector<double> all(alphas.size() * kMetricColumns + 6);
    std::vector<uint32_t> predicted(alphas.size() * logits.classes);
    for (size_t n = 0; n + 1 < cuts.size(); n++) {
      WmLogits part = logits.view();
      const size_t first = cuts[n];
      part.rows = cuts[n + 1] - first;
      part.z0 += first * part.stride;
      part.z1 += first * part.stride;
      part.labels += first;
      const WmHeadMetrics metrics{part,
                                  path.lo.data() + first,
                                  path.hi.data() + first,
                                  path.open.data() + first,
                                  alphas.data(),
                                  2,
                                  all.data() + 6,
                                  predicted.data(),
                                  nullptr};
      const WmHeadMoments moments{part, nullptr, 1, 0.3, all.data()};
      WmError error{};
      CHECK_EQ(path.backend->head_metrics(path.context, &metrics, nullptr, &error), WM_OK);
      CHECK_EQ(path.backend->head_moments(path.context, &moments, nullptr, &error), WM_OK);
    }
    all.insert(all.end(), predicted.begin(), predicted.end());
    return all;
  };
  CHECK(sums_of({0, 300}) == sums_of({0, 64, 64 * 3, 300}));
}

TEST("head: a sample that is wrong is never taken for its label") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = INFINITY;
  for (const size_t classes : {2, 5, 40}) {
    // One of the label's and the others' logits each, at both ends or at the second alone.
    Logits logits(32, classes, false, classes);
    constexpr float kOwn[] = {1, kNan, kInf, -kInf}, kOthers[] = {kNan, kInf, -kInf, kNan};
    for (size_t i = 0; i < logits.rows; i++) {
      logits.labels[i] = static_cast<int32_t>(i % 3 % classes);
      for (size_t c = 0; c < classes; c++) {
        const bool own = static_cast<int32_t>(c) == logits.labels[i];
        const float broken = own ? kOwn[i % 4] : kOthers[i / 4 % 4];
        logits.z1[i * logits.stride + c] = broken;
        if (i >= 16) logits.z0[i * logits.stride + c] = broken;
      }
    }
    for (const char* isa : kIsas) {
      const Path path(isa, 2, logits);
      const std::vector<double> alphas = {0, 0.5, 1};
      std::vector<double> sums(alphas.size() * kMetricColumns);
      std::vector<int32_t> predictions(alphas.size() * logits.rows);
      const WmHeadMetrics call{logits.view(),    path.lo.data(), path.hi.data(),
                               path.open.data(), alphas.data(),  static_cast<uint32_t>(alphas.size()),
                               sums.data(),      nullptr,        predictions.data()};
      WmError error{};
      CHECK_EQ(path.backend->head_metrics(path.context, &call, nullptr, &error), WM_OK);
      for (size_t k = 0; k < alphas.size(); k++) {
        for (size_t i = 0; i < logits.rows; i++) {
          const int32_t predicted = predictions[k * logits.rows + i];
          CHECK(predicted >= 0 && predicted < static_cast<int32_t>(classes));
          CHECK_EQ(predicted == logits.labels[i], path.correct(i, alphas[k]));
        }
      }
    }
  }
}

TEST("head: one model in the place of both ends disagrees with neither") {
  const Logits logits(100, 17, false, 13);
  WmLogits view = logits.view();
  view.z1 = view.z0;
  Path path("avx512", 2, logits);
  WmError error{};
  const WmPath again{view, 0, 1, path.lo.data(), path.hi.data(), path.open.data()};
  CHECK_EQ(path.backend->head_path(path.context, &again, nullptr, &error), WM_OK);
  const std::vector<double> alphas = {0, 0.7};
  std::vector<double> sums(2 * kMetricColumns);
  const WmHeadMetrics call{view, path.lo.data(), path.hi.data(), path.open.data(), alphas.data(),
                           2,    sums.data(),    nullptr,        nullptr};
  CHECK_EQ(path.backend->head_metrics(path.context, &call, nullptr, &error), WM_OK);
  double right = 0;
  for (size_t i = 0; i < logits.rows; i++) right += logits.argmax(i, 0) == logits.labels[i];
  for (size_t k = 0; k < 2; k++) {
    CHECK_EQ(sums[k * kMetricColumns + kTop1], right);
    CHECK_EQ(sums[k * kMetricColumns + kDisagreeZeroshot], 0.0);
    CHECK_EQ(sums[k * kMetricColumns + kDisagreeFinetuned], 0.0);
    CHECK_EQ(sums[k * kMetricColumns + kNll], sums[kNll]);
  }
}

TEST("head: moments are the derivatives of the likelihood") {
  const Logits logits(64, 29, false, 21);
  const Path path("avx512", 1, logits);
  std::vector<double> weights(logits.rows);
  for (size_t i = 0; i < logits.rows; i++) weights[i] = 0.5 + static_cast<double>(i % 3);
  const auto nll = [&](double b, double g) {
    double sum = 0;
    for (size_t i = 0; i < logits.rows; i++) {
      const auto u = [&](size_t c) {
        const double z0 = logits.at(i, c, 0), z1 = logits.at(i, c, 1);
        return b * z0 + g * (z1 - z0);
      };
      double top = -INFINITY, all = 0;
      for (size_t c = 0; c < logits.classes; c++) top = std::max(top, u(c));
      for (size_t c = 0; c < logits.classes; c++) all += std::exp(u(c) - top);
      sum += weights[i] * (top + std::log(all) - u(static_cast<size_t>(logits.labels[i])));
    }
    return sum;
  };
  const double b = 0.75, g = 0.5, h = 1e-4;
  std::vector<double> got(6);
  const WmHeadMoments call{logits.view(), weights.data(), b, g, got.data()};
  WmError error{};
  CHECK_EQ(path.backend->head_moments(path.context, &call, nullptr, &error), WM_OK);
  const double expected[] = {
      nll(b, g),
      (nll(b + h, g) - nll(b - h, g)) / (2 * h),
      (nll(b, g + h) - nll(b, g - h)) / (2 * h),
      (nll(b + h, g) - 2 * nll(b, g) + nll(b - h, g)) / (h * h),
      (nll(b + h, g + h) - nll(b + h, g - h) - nll(b - h, g + h) + nll(b - h, g - h)) / (4 * h * h),
      (nll(b, g + h) - 2 * nll(b, g) + nll(b, g - h)) / (h * h),
  };
  for (int j = 0; j < 6; j++) {
    CHECK(std::fabs(got[static_cast<size_t>(j)] - expected[j]) <= 1e-4 * (1 + std::fabs(expected[j])));
  }
}

TEST("head: calls refuse labels outside the classes") {
  Logits logits(4, 6, false, 2);
  const Path path("avx512", 1, logits);
  logits.labels[2] = 6;
  std::vector<double> sums(6);
  const WmHeadMoments call{logits.view(), nullptr, 1, 0, sums.data()};
  WmError error{};
  CHECK_EQ(path.backend->head_moments(path.context, &call, nullptr, &error), WM_INVALID_ARGUMENT);
  CHECK(std::strstr(error.message, "label 6 of sample 2") != nullptr);
}

}  // namespace wisemerge::test
