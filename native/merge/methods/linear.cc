// linear: sum of w_i x_i, over the sum of the weights if they are to be normalised (Wortsman et al., 2022,
// "Model soups").
//
//   parameters: normalize; per model: weight
#include "merge/combination.h"
#include "merge/methods.h"

namespace wisemerge {

void merge_linear(TensorRun& run) {
  std::vector<double> weights;
  double sum = 0;
  for (uint32_t i = 0; i < run.models(); i++) sum += run.model(i).parameters[0];
  const bool normalize = run.parameter(0) != 0;
  for (uint32_t i = 0; i < run.models(); i++) {
    weights.push_back(normalize ? run.model(i).parameters[0] / sum : run.model(i).parameters[0]);
  }
  write_combination(run, weights);
}

}  // namespace wisemerge
