// The part of cuda_parity about merging many models.
#pragma once

#include "tally.h"

namespace wisemerge::test {

void check_merges(Tally& tally, Opened& cuda, Opened& cpu, bool reduced);

}  // namespace wisemerge::test
