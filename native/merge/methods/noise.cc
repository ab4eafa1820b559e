// noise: scale (x + deviation z) with z drawn by Philox from the seed, the tensor's name and the element's
// index: normal deviates, or uniform ones in (-1, 1). In f64, rounded once. For the routers and experts of
// mixtures of experts.
//
//   parameters: scale; deviation; 1 for uniform
#include "merge/elements.h"
#include "merge/methods.h"
#include "wisemerge/normal.h"

namespace wisemerge {
namespace {

struct Noise {
  double scale, deviation;
  bool uniform;
  uint64_t key;
};

template <DType D>
uint64_t add_noise(const Noise& noise, const WmMergeInputs& in, void* to) {
  const auto from = static_cast<DType>(in.x_dtypes[0]);
  auto* const out = static_cast<typename Element<D>::Bits*>(to);
  uint64_t non_finite = 0;
  for (uint64_t e = 0; e < in.count; e++) {
    const uint64_t index = in.first + e;
    const double z = noise.uniform ? philox_uniform(index, 0, noise.key) : philox_normal(index, 0, noise.key);
    const double x = load_element<double>(from, in.x[0], e);
    out[e] = Element<D>::store64(noise.scale * (x + noise.deviation * z));
    non_finite += Element<D>::non_finite(out[e]);
  }
  return non_finite;
}

}  // namespace

void merge_noise(TensorRun& run) {
  const Noise noise = {run.parameter(0), run.parameter(1), run.parameter(2) != 0, run.random_key()};
  run.make([&](const WmMergeInputs& in, void* out) -> uint64_t {
    switch (run.job().out_dtype) {
      case DType::kF64:
        return add_noise<DType::kF64>(noise, in, out);
      case DType::kF32:
        return add_noise<DType::kF32>(noise, in, out);
      case DType::kF16:
        return add_noise<DType::kF16>(noise, in, out);
      case DType::kBF16:
        return add_noise<DType::kBF16>(noise, in, out);
      case DType::kF8E5M2:
        return add_noise<DType::kF8E5M2>(noise, in, out);
      default:
        return add_noise<DType::kF8E4M3>(noise, in, out);
    }
  });
}

}  // namespace wisemerge
