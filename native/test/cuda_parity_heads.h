// The part of cuda_parity about matrix products and heads.
#pragma once

#include "parity_harness.h"

namespace wisemerge::test {

void check_matrix_products(Tally& tally, Opened& cuda, Opened& cpu, bool reduced);
// `cuda` opened with WM_FAST.
void check_tensor_products(Tally& tally, Opened& cuda, bool reduced);
void check_heads(Tally& tally, Opened& cuda, Opened& cpu, bool reduced);

}  // namespace wisemerge::test
