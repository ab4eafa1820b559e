// What the caller of matmul and the head calls has to keep to (backend.h), checked before anything is queued.
// All throw Failure (WM_INVALID_ARGUMENT) that names operand and fault.
#pragma once

#include "wisemerge/backend.h"

namespace wisemerge::cuda {

void check_matmul(const WmMatmul& call);
void check_path(const WmPath& call);
void check_metrics(const WmHeadMetrics& call);
void check_moments(const WmHeadMoments& call);

}  // namespace wisemerge::cuda
