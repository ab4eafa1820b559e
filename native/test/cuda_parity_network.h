// The part of cuda_parity about networks.
#pragma once

#include "parity_harness.h"

namespace wisemerge::test {

// Whole programs through the executor on both backends: the same bits. True if cuBLASLt was there to be
// checked.
bool check_networks(Tally& tally, const WmBackend* cuda, bool reduced);

}  // namespace wisemerge::test
