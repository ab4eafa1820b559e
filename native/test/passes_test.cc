// The element-wise functions and passes over rows of networks: every SIMD level gives the bits of the
// baseline, whose values network and training tests hold to f64.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "cpu/kernels.h"

namespace wisemerge::test {
namespace {

std::vector<float> numbers(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  constexpr float kSpecial[] = {0.0f, -0.0f, 1e-40f, -90.0f, 200.0f, INFINITY, -INFINITY};
  for (size_t i = 0; i < count; i += 29) values[i] = kSpecial[i / 29 % 7];
  return values;
}

bool same_floats(const std::vector<float>& x, const std::vector<float>& y) {
  for (size_t i = 0; i < x.size(); i++) {
    if (std::isnan(x[i]) && std::isnan(y[i])) continue;
    if (std::memcmp(&x[i], &y[i], sizeof(float)) != 0) return false;
  }
  return x.size() == y.size();
}

// All results of one level, one after another; `in_place` puts element-wise ones over their operand.
std::vector<float> results(const cpu::Kernels& kernels, size_t rows, size_t width, bool in_place) {
  const size_t count = rows * width;
  const std::vector<float> x = numbers(count, 1), y = numbers(count, 2), weight = numbers(width, 3),
                           bias = numbers(width, 4);
  std::vector<float> all;
  const auto keep = [&](const std::vector<float>& some) { all.insert(all.end(), some.begin(), some.end()); };
  std::vector<float> out(count), copy;
  for (uint64_t kind = 0; kind < network::kActivations; kind++) {
    const auto activation = static_cast<network::Activation>(kind);
    for (const float* const gate : {static_cast<const float*>(nullptr), y.data()}) {
      copy = x;
      float* const to = in_place ? copy.data() : out.data();
      kernels.activate(activation, copy.data(), gate, count, to);
      keep({to, to + count});
    }
    copy = y;
    float* const to = in_place ? copy.data() : out.data();
    kernels.activate_backward(activation, x.data(), copy.data(), count, to);
    keep({to, to + count});
  }
  copy = x;
  float* const sum = in_place ? copy.data() : out.data();
  kernels.add_floats(copy.data(), y.data(), count, sum);
  keep({sum, sum + count});

  std::vector<cpu::RowMoments> moments;
  for (size_t i = 0; i < rows; i++) {
    moments.push_back(kernels.row_moments(x.data() + i * width, width, 1e-5f));
    keep({moments.back().mean, moments.back().scale});
  }
  for (const bool affine : {false, true}) {
    copy = x;
    std::vector<float> slopes = y;
    for (size_t i = 0; i < rows; i++) {
      float* const row = copy.data() + i * width;
      kernels.layer_norm_row(row, width, affine ? weight.data() : nullptr, affine ? bias.data() : nullptr,
                             1e-5f, in_place ? row : out.data() + i * width);
      float* const slope = slopes.data() + i * width;
      kernels.layer_norm_row_backward(x.data() + i * width, slope, width, affine ? weight.data() : nullptr,
                                      moments[i], slope);
    }
    keep(in_place ? copy : out);
    keep(slopes);
  }
  std::vector<float> columns(width);
  for (size_t begin = 0; begin < width; begin += 7) {
    const size_t end = std::min(begin + 7, width);
    kernels.column_sums(x.data(), rows, width, begin, end, columns.data());
  }
  keep(columns);
  kernels.layer_norm_weight_gradient(x.data(), y.data(), moments.data(), rows, width, 0, width,
                                     columns.data());
  keep(columns);
  return all;
}

}  // namespace

TEST("passes: every level gives the bits of the baseline, in place or not") {
  const cpu::Kernels& baseline = *cpu::select_kernels("baseline");
  for (const size_t width : {1u, 2u, 7u, 15u, 16u, 17u, 48u, 133u}) {
    const std::vector<float> wanted = results(baseline, 5, width, false);
    for (const char* isa : {"baseline", "avx2", "avx512"}) {
      for (const bool in_place : {false, true}) {
        CHECK(same_floats(results(*cpu::select_kernels(isa), 5, width, in_place), wanted));
      }
    }
  }
}

}  // namespace wisemerge::test
