// The numbers by which JavaScript describes a batch of tensors (merge/merge_job.h), one after another:
//
//   method output last outDtype count row base inputs  parameters...
//   inputs times   fd directFd position dtype addend rowMap  model parameters...
//                  with a row map, as many times as it has tables: fd directFd position dtype addend rows
//
// as many parameters as the method has (merge/methods.h). base and directFd may be -1, addend and rowMap are
// -1 or the number of one that was added. The first table of a row map is the input itself.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "merge/merge_stream.h"
#include "merge/row_gather.h"

namespace wisemerge {

// What jobs refer to by number.
struct MergeParts {
  std::vector<std::shared_ptr<const LowRank>> addends;
  std::vector<std::shared_ptr<const RowMap>> row_maps;
};

// One name per tensor. Throws Error ERR_INTERNAL_ARGUMENT.
std::vector<MergeBatch::Job> parse_merge_jobs(const double* numbers, size_t length,
                                              const std::vector<std::string>& names, uint64_t seed,
                                              const MergeParts& parts);

}  // namespace wisemerge
