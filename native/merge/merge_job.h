// One output tensor of a merge: the inputs it is made of, the method and its parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "merge/file_range.h"
#include "wisemerge/dtype.h"

namespace wisemerge {

// scale * B A, added to a matrix while it is read (LoRA; Hu et al., 2022): A is rank x columns, B rows x
// rank, both row by row; with `transposed` the matrix is stored as the transpose of B A.
struct LowRank {
  uint64_t rows, columns, rank;
  double scale;
  bool transposed;
  std::vector<float> a, b;
};

class RowGather;

// A contiguous tensor of a file that stays open while the job is under way.
struct MergeInput {
  MergeFile file;
  uint64_t position;
  DType dtype;
  std::shared_ptr<const LowRank> addend;  // null: none
  std::shared_ptr<RowGather> gather;      // not null: its rows come from several tensors, this one first
  std::vector<double> parameters;         // the method's, per model
};

// Dtype in which elements lie in memory: F32 (F64) where something is added to them.
inline DType loaded_dtype(DType stored, bool addend) {
  return !addend || stored == DType::kF64 ? stored : DType::kF32;
}
inline DType loaded_dtype(const MergeInput& input) {
  return loaded_dtype(input.dtype, input.addend != nullptr);
}

struct MergeJob {
  std::string name;  // of the output tensor
  uint32_t method;   // an index of merge_methods()
  uint32_t output;   // of MergeStream::add_output
  DType out_dtype;
  uint64_t count;     // elements
  uint64_t row;       // elements of a row in the method's view; 0 < row <= count unless count is 0
  int32_t base = -1;  // index of the base among the inputs
  uint64_t seed = 0;
  std::vector<double> parameters;
  std::vector<MergeInput> inputs;
  // Of methods that take them, one per input: square matrices of a row's length, which the method reads
  // itself.
  std::vector<MergeInput> statistics;
};

// What may be said about a finished tensor; bits of MergeReport::notes.
enum MergeNote : uint32_t {
  kNoteNothingKept = 1,  // a density so small that no element of some delta was kept
  kNoteHalfWeights = 2,  // nuslerp: weights that cancel out, taken as halves
  kNoteDegenerate = 4,   // model_stock: deltas that cancel out; the base is kept
};

struct MergeReport {
  uint64_t non_finite = 0;
  uint32_t notes = 0;
};

}  // namespace wisemerge
