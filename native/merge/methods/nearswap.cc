// nearswap: the base moves to the other model where the two are near each other.
//
//   parameters: t
#include "merge/methods.h"

namespace wisemerge {

void merge_nearswap(TensorRun& run) {
  run.write([&](WmMergeCombine& call) {
    call.operation = WM_MERGE_NEARSWAP;
    call.parameters[0] = run.parameter(0);
  });
}

}  // namespace wisemerge
