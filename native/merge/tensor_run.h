// What a merge method sees of one tensor: sweeps over its inputs, range by range in ascending order, sums of
// them in the fixed order of merge.h, and the last sweep, which makes the output. Inputs that fit in memory
// are read once, others once per sweep; no result depends on which.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "merge/merge_job.h"
#include "merge/output_sink.h"
#include "merge/tensor_reader.h"
#include "wisemerge/merge.h"

namespace wisemerge {

// A range of the inputs with the pointers it owns. The base is not among `x`.
struct MergeRange {
  WmMergeInputs inputs{};
  std::vector<const void*> x;
  std::vector<int32_t> dtypes;
};

class TensorRun {
 public:
  struct Environment {
    Engine& engine;
    TensorReader& reader;
    OutputSink& sink;
    const SharedFiles& files;  // of the job's inputs
    uint32_t file;             // of the sink
    uint8_t* out;              // room for the output of one group that the sink has none for
    WmCancelFlag cancelled;
    // Called when the last sweep is queued: what comes after this tensor may be read.
    std::function<void()> last_sweep;
  };

  // `sweep`: the first, queued already. `resident`: all of it fits in memory at once.
  TensorRun(const MergeJob& job, std::shared_ptr<TensorSweep> sweep, bool resident,
            std::function<std::shared_ptr<TensorSweep>()> again, Environment environment);
  ~TensorRun();

  const MergeJob& job() const { return job_; }
  Engine& engine() const { return environment_.engine; }
  WmCancelFlag cancelled() const { return environment_.cancelled; }
  MergeReport report;

  // Models other than the base.
  uint32_t models() const { return static_cast<uint32_t>(others_.size()); }
  bool has_base() const { return base_ >= 0; }
  const MergeInput& model(uint32_t i) const { return job_.inputs[others_[i]]; }
  double parameter(size_t index) const { return job_.parameters.at(index); }
  // Whether a sweep after the first reads nothing again.
  bool resident() const { return resident_; }
  uint64_t rows() const { return job_.count == 0 ? 0 : job_.count / job_.row; }
  // Computes in f64.
  bool wide() const;
  // Makes input `index` the base of what follows (-1: none), and the others the models.
  void set_base(int32_t index);
  // Philox key of the tensor: XXH3 of the seed and its name.
  uint64_t random_key() const;

  // Elements [first, first + count) of model i's statistics.
  void read_statistics(uint32_t i, uint64_t first, uint64_t count, void* into) const {
    const MergeInput& input = job_.statistics[i];
    const uint64_t item = item_size(input.dtype);
    read_cached(environment_.files, input.file, input.position + first * item, count * item, into);
  }

  // One sweep.
  void each(const std::function<void(const WmMergeInputs&)>& visit);
  // Of a sweep only the ranges that begin at one of these elements (ascending): nothing else is read again.
  void each_of(const std::vector<uint64_t>& firsts, const std::function<void(const WmMergeInputs&)>& visit);
  // The last sweep: `make` fills in what a combination needs besides inputs and output. A coefficient that is
  // not a number, as norms of something not finite are, makes every element NaN.
  void write(const std::function<void(WmMergeCombine&)>& make);
  // The last sweep, where no operation of the engine makes the output: `make` fills in the range's elements.
  void write_values(const std::function<void(const WmMergeInputs&, double*)>& make);
  // The last sweep: bytes of the base, or of model `i`, as they are, or cast.
  void copy_base();
  void copy_model(uint32_t i);

  // Inner products over the whole tensor, in the order of WmMergeGram.
  std::vector<double> gram();
  // [row][pair] or [column][pair].
  std::vector<double> gram(WmMergeAxis axis);
  // [model][kMergeSumColumns].
  std::vector<double> sums(const std::vector<WmKeep>& keeps);

 private:
  MergeRange range(const TensorGroup& group) const;
  void copy(size_t input);
  // Appends elements to the output, counting what is not finite.
  void append(DType dtype, const void* data, uint64_t count);
  // The next elements of the output, where they are written from if that is possible.
  void make_output(uint64_t count, const std::function<void(void*)>& make);
  // `firsts`: only groups that begin there have to be visited; null: all.
  void sweep(bool last, const std::function<void(const MergeRange&, const TensorGroup&)>& visit,
             const std::vector<uint64_t>* firsts = nullptr);

  const MergeJob& job_;
  std::shared_ptr<TensorSweep> sweep_;
  const bool resident_;
  const std::function<std::shared_ptr<TensorSweep>()> again_;
  const Environment environment_;
  int32_t base_;
  std::vector<size_t> others_;
  bool started_ = false;
};

}  // namespace wisemerge
