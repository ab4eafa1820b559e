// Sums that are rounded at every step, against their definition in f64.
#include <algorithm>
#include <cmath>

#include "merge_fixture.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

// The nearest BF16 or F16 number, ties to even, from the value's exponent: none of the code under test.
double nearest_half(double value, int bits, int least) {
  if (value == 0 || !std::isfinite(value)) return value;
  int exponent;
  std::frexp(value, &exponent);
  const int unit = std::max(exponent - bits, least);
  return std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
}

}  // namespace

TEST("merge oracle: sums that are rounded at every step") {
  struct Format {
    DType dtype;
    int bits, least;
  };
  for (const Format& format : {Format{DType::kBF16, 8, -133}, Format{DType::kF16, 11, -24}}) {
    const auto r = [&](double value) { return nearest_half(value, format.bits, format.least); };
    const MergeTensors t = tuned_tensors(3, 3001, 1, 8, DType::kF32);
    MergeContext context;
    std::vector<double> w = {0.3, 0.5, -0.7};
    for (double& weight : w) weight = r(weight);
    const double divisor = r(static_cast<float>(static_cast<float>(w[0] + w[1]) + w[2])), lambda = 0.9f;
    for (const bool deltas : {false, true}) {
      std::vector<float> out(t.count);
      uint64_t non_finite = 0;
      WmMergeCombine call{};
      call.inputs = t.inputs();
      call.operation = deltas ? WM_MERGE_ROUNDED_DELTA_SUM : WM_MERGE_ROUNDED_SUM;
      if (!deltas) call.inputs.base = nullptr;
      call.weights = w.data();
      call.parameters[0] = divisor;
      call.parameters[1] = lambda;
      call.out_dtype = static_cast<int32_t>(DType::kF32);
      call.out = out.data();
      call.non_finite = &non_finite;
      call.work_dtype = static_cast<int32_t>(format.dtype);
      CHECK_EQ(context.combine(call), WM_OK);
      size_t wrong = 0;
      for (size_t e = 0; e < t.count; e++) {
        const double base = deltas ? r(decoded(*t.base, e)) : 0;
        float sum = 0;
        for (size_t i = 0; i < 3; i++) {
          sum += static_cast<float>(r(w[i] * r(r(decoded(t.x[i], e)) - base)));
        }
        // Products and quotients of such numbers in f64 are rounded where f32 would be, or are exact.
        const double mixed = r(static_cast<float>(r(static_cast<float>(r(sum) / divisor)) * lambda));
        wrong += out[e] != static_cast<float>(r(base + mixed));
      }
      CHECK_EQ(wrong, size_t{0});
    }
  }
}
