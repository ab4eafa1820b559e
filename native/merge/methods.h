// The merge methods, one file each in methods/: what sweeps a tensor takes and with which coefficients it is
// combined. Their parameters, in this order, are what lib/merge/methods/ resolves from a configuration.
#pragma once

#include <cstdint>
#include <vector>

#include "merge/tensor_run.h"

namespace wisemerge {

struct MergeMethod {
  const char* name;
  uint32_t parameters;        // of the tensor
  uint32_t model_parameters;  // of each input but the base
  bool rows;                  // takes whole rows: a group must hold one
  void (*run)(TensorRun& run);
  bool statistics = false;  // the second half of its inputs are those of MergeJob::statistics
};

const std::vector<MergeMethod>& merge_methods();

void merge_copy(TensorRun& run);
void merge_linear(TensorRun& run);
void merge_rounded_sum(TensorRun& run);
void merge_slerp(TensorRun& run);
void merge_nuslerp(TensorRun& run);
void merge_multislerp(TensorRun& run);
void merge_karcher(TensorRun& run);
void merge_task_vectors(TensorRun& run);
void merge_model_stock(TensorRun& run);
void merge_sce(TensorRun& run);
void merge_ram(TensorRun& run);
void merge_nearswap(TensorRun& run);
void merge_arcee_fusion(TensorRun& run);
void merge_fisher(TensorRun& run);
void merge_regmean(TensorRun& run);
void merge_warp(TensorRun& run);
void merge_noise(TensorRun& run);

}  // namespace wisemerge
