// The part of cuda_parity about calls of the CUDA runtime that fail.
#pragma once

#include "fake_cuda_control.h"
#include "parity_harness.h"

namespace wisemerge::test {

// Every kind of call of the backend with one after another of the runtime's failing below it: an error with
// its kind and the runtime's name for it, and then a call as if nothing had been - in the same context, or in
// a new one where the device was lost. Only where the runtime replays.
void check_failures(Tally& tally, const WmBackend* cuda, const ReplayControl& control);

}  // namespace wisemerge::test
