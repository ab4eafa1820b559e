// noise: scale (x + deviation z) with z drawn by Philox from the seed, the tensor's name and the element's
// index: normal deviates, or uniform ones in (-1, 1). In f64, rounded once. For the routers and experts of
// mixtures of experts.
//
//   parameters: scale; deviation; 1 for uniform
#include "merge/elements.h"
#include "merge/methods.h"
#include "wisemerge/normal.h"

namespace wisemerge {

void merge_noise(TensorRun& run) {
  const double scale = run.parameter(0), deviation = run.parameter(1);
  const bool uniform = run.parameter(2) != 0;
  const uint64_t key = run.random_key();
  run.write_values([&](const WmMergeInputs& in, double* out) {
    const auto from = static_cast<DType>(in.x_dtypes[0]);
    for (uint64_t e = 0; e < in.count; e++) {
      const uint64_t index = in.first + e;
      const double z = uniform ? philox_uniform(index, 0, key) : philox_normal(index, 0, key);
      out[e] = scale * (load_element<double>(from, in.x[0], e) + deviation * z);
    }
  });
}

}  // namespace wisemerge
