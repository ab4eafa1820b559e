#include "train/feature_rows.h"

#include <string>

#include "core/status.h"
#include "wisemerge/convert.h"

namespace wisemerge::train {
namespace {

template <DType D>
void widen(const uint8_t* from, uint64_t count, float* to) {
  const auto* const elements = reinterpret_cast<const typename Element<D>::Bits*>(from);
  for (uint64_t j = 0; j < count; j++) to[j] = Element<D>::load32(elements[j]);
}

}  // namespace

void check_features(uint64_t dimension, DType dtype, uint64_t inputs) {
  if (dimension != inputs) {
    throw Error("ERR_INTERNAL_ARGUMENT", "the network takes " + std::to_string(inputs) + " features, not " +
                                             std::to_string(dimension));
  }
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    throw Error("ERR_INTERNAL_ARGUMENT", "features are F32, F16 or BF16");
  }
}

void widen_row(DType dtype, const uint8_t* features, uint64_t row, uint64_t dimension, float* to) {
  const uint8_t* const from = features + row * dimension * item_size(dtype);
  if (dtype == DType::kF32) return widen<DType::kF32>(from, dimension, to);
  if (dtype == DType::kF16) return widen<DType::kF16>(from, dimension, to);
  widen<DType::kBF16>(from, dimension, to);
}

void stop_if_cancelled(WmCancelFlag cancelled) {
  if (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED) != 0) {
    throw Error("ERR_ABORTED", "the network's work was aborted");
  }
}

}  // namespace wisemerge::train
