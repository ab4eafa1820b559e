// The part of cuda_parity about training.
#pragma once

#include "parity_harness.h"

namespace wisemerge::test {

// Gradients and whole runs on both backends: the same bits.
void check_training(Tally& tally, const WmBackend* cuda, bool reduced);

}  // namespace wisemerge::test
