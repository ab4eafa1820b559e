// Metrics and moments of linear heads against brute force in f64.
#include <algorithm>
#include <cmath>
#include <limits>

#include "head_fixture.h"

namespace wisemerge::test {
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
