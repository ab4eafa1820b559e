// Logits of two heads, and the exact path between them.
#pragma once

#include <random>
#include <stdexcept>
#include <vector>

#include "lerp_fixture.h"
#include "wisemerge/head.h"

namespace wisemerge::test {

inline constexpr const char* kIsas[] = {"baseline", "avx2", "avx512"};

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

}  // namespace wisemerge::test
