#include "merge/methods.h"

namespace wisemerge {

const std::vector<MergeMethod>& merge_methods() {
  static const std::vector<MergeMethod> methods = {
      {"copy", 0, 0, false, merge_copy},
      {"linear", 1, 1, false, merge_linear},
      {"rounded", 4, 1, false, merge_rounded_sum},
      {"slerp", 1, 0, false, merge_slerp},
      {"nuslerp", 2, 1, false, merge_nuslerp},
      {"nuslerp_vectors", 2, 1, true, merge_nuslerp},
      {"multislerp", 2, 1, false, merge_multislerp},
      {"karcher", 2, 0, false, merge_karcher},
      {"task_vectors", 5, 3, false, merge_task_vectors},
      {"task_vectors_rows", 5, 3, true, merge_task_vectors},
      {"model_stock", 1, 0, false, merge_model_stock},
      {"model_stock_rows", 1, 0, true, merge_model_stock},
      {"sce", 1, 0, false, merge_sce},
      {"ram", 3, 0, false, merge_ram},
      {"nearswap", 1, 0, false, merge_nearswap},
      {"arcee_fusion", 0, 0, true, merge_arcee_fusion},
      {"fisher", 1, 1, false, merge_fisher},
      {"regmean", 1, 1, true, merge_regmean, true},
      {"warp", 1, 0, false, merge_warp},
      {"noise", 3, 0, false, merge_noise},
  };
  return methods;
}

void merge_copy(TensorRun& run) { run.copy_model(0); }

}  // namespace wisemerge
