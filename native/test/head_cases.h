// Logits to try the evaluation of heads on, and results to compare: shared by the host replay of the kernels
// and by the parity program on a device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "cuda_reference.h"
#include "wisemerge/backend.h"
#include "wisemerge/head.h"

namespace wisemerge::test {

enum class Flavour {
  kUsual,   // the label a little above the others
  kTies,    // small whole numbers: ties and parallel classes abound
  kLarge,   // up to 1e4 and beyond: exponentials vanish
  kBroken,  // some NaN, infinities and zeros of both signs, and rows of one of them
};
inline constexpr Flavour kFlavours[] = {Flavour::kUsual, Flavour::kTies, Flavour::kLarge, Flavour::kBroken};

struct HeadData {
  HeadData(size_t samples, size_t class_count, Flavour flavour, size_t gap = 0, uint64_t seed = 1)
      : rows(samples),
        classes(class_count),
        stride(class_count + gap),
        z0(rows * stride),
        z1(rows * stride),
        labels(rows),
        weights(rows) {
    Random random(seed + rows * 31 + classes);
    const auto normal = [&] {  // near enough: the sum of twelve uniforms
      double sum = -6;
      for (int i = 0; i < 12; i++) sum += static_cast<double>(random.next() >> 11) * 0x1p-53;
      return sum;
    };
    constexpr float kSpecial[] = {std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY, 0.0f, -0.0f};
    for (std::vector<float>* z : {&z0, &z1}) {
      for (float& value : *z) {
        value = static_cast<float>(normal() * (flavour == Flavour::kLarge ? 1e4 : 3));
        if (flavour == Flavour::kTies) value = static_cast<float>(random.next() % 5) - 2;
        if (flavour == Flavour::kBroken && random.next() % 40 == 0) value = kSpecial[random.next() % 5];
      }
    }
    for (size_t i = 0; i < rows; i++) {
      labels[i] = static_cast<int32_t>(random.next() % classes);
      weights[i] = 0.25 + static_cast<double>(random.next() % 4);
      if (flavour == Flavour::kTies) continue;
      if (flavour == Flavour::kBroken && i % 11 == 5) {
        std::fill_n(z1.begin() + static_cast<std::ptrdiff_t>(i * stride), classes, kSpecial[i / 11 % 5]);
      }
      z0[i * stride + static_cast<size_t>(labels[i])] += 4;
      z1[i * stride + static_cast<size_t>(labels[i])] += 5;
    }
  }
  WmLogits view() const { return {rows, classes, stride, z0.data(), z1.data(), labels.data()}; }

  size_t rows, classes, stride;
  std::vector<float> z0, z1;
  std::vector<int32_t> labels;
  std::vector<double> weights;
};

// What the three calls gave for one HeadData. Poisoned, or 0 where calls add.
struct HeadResults {
  HeadResults(const HeadData& data, size_t alphas)
      : lo(data.rows, -7),
        hi(data.rows, -7),
        open(data.rows, 9),
        sums(alphas * kMetricColumns),
        predicted(alphas * data.classes),
        predictions(alphas * data.rows, -9),
        moments(6) {}
  std::vector<double> lo, hi;
  std::vector<uint8_t> open;
  std::vector<double> sums;
  std::vector<uint32_t> predicted;
  std::vector<int32_t> predictions;
  std::vector<double> moments;
};

// NaN of any bits counts as one value: devices make different ones.
inline bool same_doubles(const std::vector<double>& x, const std::vector<double>& y) {
  for (size_t i = 0; i < x.size(); i++) {
    if (x[i] != x[i] && y[i] != y[i]) continue;
    if (bit_cast<uint64_t>(x[i]) != bit_cast<uint64_t>(y[i])) return false;
  }
  return x.size() == y.size();
}

// What a backend gives; `one_model` puts z0 in the place of both ends.
inline WmCode run_heads(const WmBackend* backend, WmContext* context, const HeadData& data, double from,
                        double to, const std::vector<double>& alphas, bool one_model, HeadResults& results,
                        WmError* error) {
  WmLogits logits = data.view();
  if (one_model) logits.z1 = logits.z0;
  const WmPath path = {logits, from, to, results.lo.data(), results.hi.data(), results.open.data()};
  WmCode code = backend->head_path(context, &path, nullptr, error);
  const WmHeadMetrics metrics = {logits,
                                 results.lo.data(),
                                 results.hi.data(),
                                 results.open.data(),
                                 alphas.data(),
                                 static_cast<uint32_t>(alphas.size()),
                                 results.sums.data(),
                                 results.predicted.data(),
                                 results.predictions.data()};
  if (code == WM_OK) code = backend->head_metrics(context, &metrics, nullptr, error);
  const WmHeadMoments moments = {logits, data.weights.data(), 1.1, 0.4, results.moments.data()};
  if (code == WM_OK) code = backend->head_moments(context, &moments, nullptr, error);
  return code;
}

}  // namespace wisemerge::test
