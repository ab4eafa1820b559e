// ram, ramplus_tl: deltas that one model has alone count fully, those that several share as their mean;
// ramplus amplifies the former by how much of its deltas a model shares (arXiv:2601.13572).
//
//   parameters: epsilon, r, alpha (r = 0: ram)
#include <algorithm>

#include "merge/methods.h"

namespace wisemerge {

void merge_ram(TensorRun& run) {
  const uint32_t n = run.models();
  const double epsilon = run.parameter(0), r = run.parameter(1), alpha = run.parameter(2);
  std::vector<double> factors(n, 1);
  if (r != 0) {
    std::vector<uint64_t> counts(size_t{n} * 2);
    run.each([&](const WmMergeInputs& inputs) {
      run.engine().merge_overlap({inputs, epsilon, counts.data()}, run.cancelled());
    });
    for (uint32_t i = 0; i < n; i++) {
      const auto shared = static_cast<double>(counts[2 * i]), alone = static_cast<double>(counts[2 * i + 1]);
      factors[i] = 1 + r * std::clamp(shared / std::max(alone, epsilon), 0.0, alpha);
    }
  }
  run.write([&](WmMergeCombine& call) {
    call.operation = WM_MERGE_OVERLAP;
    call.factors = factors.data();
    call.parameters[0] = epsilon;
  });
}

}  // namespace wisemerge
