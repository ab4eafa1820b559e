// Rows of features as a network takes them: widened to f32.
#pragma once

#include <cstdint>

#include "wisemerge/backend.h"
#include "wisemerge/dtype.h"

namespace wisemerge::train {

// Throws ERR_INTERNAL_ARGUMENT unless the features are F32, F16 or BF16 and as many as the network takes.
void check_features(uint64_t dimension, DType dtype, uint64_t inputs);

// Row `row` of [rows, dimension], aligned to its elements, to `to`.
void widen_row(DType dtype, const uint8_t* features, uint64_t row, uint64_t dimension, float* to);

// Throws ERR_ABORTED if the flag, which may be null, is raised.
void stop_if_cancelled(WmCancelFlag cancelled);

}  // namespace wisemerge::train
