// fisher: the mean of the models weighted by their diagonal Fisher information, element by element (Matena
// and Raffel, 2022). Inputs: the models, then the information of each.
//
//   parameters: floor; per input: weight (that of the information is ignored)
#include "merge/methods.h"

namespace wisemerge {

void merge_fisher(TensorRun& run) {
  std::vector<double> weights;
  for (uint32_t i = 0; i < run.models() / 2; i++) weights.push_back(run.model(i).parameters[0]);
  run.write([&](WmMergeCombine& call) {
    call.operation = WM_MERGE_FISHER;
    call.weights = weights.data();
    call.parameters[0] = run.parameter(0);
  });
}

}  // namespace wisemerge
