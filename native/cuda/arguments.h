// What the caller of lerp and compare has to keep to (backend.h), checked before anything is queued.
#pragma once

#include "wisemerge/backend.h"
#include "wisemerge/dtype.h"

namespace wisemerge::cuda {

struct LerpTypes {
  DType x, y, out;
  bool needs_y;  // false: every alpha is 0, and y is not read
};
struct CompareTypes {
  DType x, y;
};

// Throw Failure (WM_INVALID_ARGUMENT) that names item, operand and fault.
LerpTypes check_lerp(const WmLerp& item, uint32_t index);
CompareTypes check_compare(const WmCompare& item, uint32_t index);

}  // namespace wisemerge::cuda
