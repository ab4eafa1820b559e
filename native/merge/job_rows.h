// The numbers by which JavaScript describes a batch of tensors (merge/merge_job.h), one after another:
//
//   method output last outDtype count row base inputs  parameters...
//   inputs times   fd directFd position dtype addend  model parameters...
//
// as many parameters as the method has (merge/methods.h). base and directFd may be -1, addend is -1 or the
// number of one of `addends`.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "merge/merge_stream.h"

namespace wisemerge {

// One name per tensor. Throws Error ERR_INTERNAL_ARGUMENT.
std::vector<MergeBatch::Job> parse_merge_jobs(const double* numbers, size_t length,
                                              const std::vector<std::string>& names, uint64_t seed,
                                              const std::vector<std::shared_ptr<const LowRank>>& addends);

}  // namespace wisemerge
