#include "merge/tensor_run.h"

#include <algorithm>
#include <utility>

#include "core/xxh3.h"
#include "wisemerge/lerp.h"

namespace wisemerge {

TensorRun::TensorRun(const MergeJob& job, std::shared_ptr<TensorSweep> sweep, bool resident,
                     std::function<std::shared_ptr<TensorSweep>()> again, Environment environment)
    : job_(job),
      sweep_(std::move(sweep)),
      resident_(resident),
      again_(std::move(again)),
      environment_(std::move(environment)) {
  set_base(job.base);
}

TensorRun::~TensorRun() = default;

void TensorRun::set_base(int32_t index) {
  base_ = index;
  others_.clear();
  for (size_t i = 0; i < job_.inputs.size(); i++) {
    if (static_cast<int32_t>(i) != base_) others_.push_back(i);
  }
}

bool TensorRun::wide() const {
  return std::any_of(job_.inputs.begin(), job_.inputs.end(),
                     [](const MergeInput& input) { return input.dtype == DType::kF64; });
}

uint64_t TensorRun::random_key() const {
  Xxh3 hash;
  hash.update(&job_.seed, sizeof(job_.seed));
  hash.update(job_.name.data(), job_.name.size());
  return hash.digest();
}

MergeRange TensorRun::range(const TensorGroup& group) const {
  MergeRange range;
  for (const size_t i : others_) {
    range.x.push_back(group.data[i]);
    range.dtypes.push_back(static_cast<int32_t>(loaded_dtype(job_.inputs[i])));
  }
  range.inputs.first = group.first;
  range.inputs.count = group.count;
  range.inputs.row = job_.row;
  range.inputs.models = models();
  if (base_ >= 0) {
    range.inputs.base = group.data[static_cast<size_t>(base_)];
    range.inputs.base_dtype = static_cast<int32_t>(loaded_dtype(job_.inputs[static_cast<size_t>(base_)]));
  }
  range.inputs.x = range.x.data();
  range.inputs.x_dtypes = range.dtypes.data();
  return range;
}

void TensorRun::sweep(bool last, const std::function<void(const MergeRange&, const TensorGroup&)>& visit) {
  if (started_ && !resident_) {
    sweep_ = again_();
    environment_.reader.queue(sweep_);
  }
  started_ = true;
  if (last) environment_.last_sweep();
  for (size_t i = 0; i < sweep_->size(); i++) {
    const TensorGroup& group = environment_.reader.wait(*sweep_, i);
    const MergeRange at = range(group);
    visit(at, group);
    if (last || !resident_) environment_.reader.release(*sweep_, i);
  }
}

void TensorRun::each(const std::function<void(const WmMergeInputs&)>& visit) {
  sweep(false, [&](const MergeRange& range, const TensorGroup&) { visit(range.inputs); });
}

void TensorRun::write(const std::function<void(WmMergeCombine&)>& make) {
  sweep(true, [&](const MergeRange& range, const TensorGroup& group) {
    uint64_t non_finite = 0;
    WmMergeCombine call{};
    call.inputs = range.inputs;
    call.out_dtype = static_cast<int32_t>(job_.out_dtype);
    call.out = environment_.out;
    call.non_finite = &non_finite;
    make(call);
    environment_.engine.merge_combine(call, environment_.cancelled);
    report.non_finite += non_finite;
    environment_.sink.append(environment_.file, environment_.out, group.count * item_size(job_.out_dtype));
  });
}

void TensorRun::make(const std::function<uint64_t(const WmMergeInputs&, void*)>& make) {
  sweep(true, [&](const MergeRange& range, const TensorGroup& group) {
    report.non_finite += make(range.inputs, environment_.out);
    environment_.sink.append(environment_.file, environment_.out, group.count * item_size(job_.out_dtype));
  });
}

void TensorRun::copy() {
  if (job_.inputs.empty()) return environment_.last_sweep();
  const DType from = loaded_dtype(job_.inputs[0]);
  sweep(true, [&](const MergeRange&, const TensorGroup& group) {
    if (from == job_.out_dtype && !is_float(from)) {
      environment_.sink.append(environment_.file, group.data[0], group.count * item_size(from));
      return;
    }
    // Interpolation with itself at 0 is a cast, or a copy, and counts what is not finite.
    const double alpha = 0;
    uint64_t non_finite = 0;
    void* const out = environment_.out;
    WmLerp item{};
    item.x_dtype = item.y_dtype = static_cast<int32_t>(from);
    item.out_dtype = static_cast<int32_t>(job_.out_dtype);
    item.alpha_count = 1;
    item.count = group.count;
    item.x = item.y = group.data[0];
    item.alphas = &alpha;
    item.outs = &out;
    item.non_finite = &non_finite;
    environment_.engine.lerp({item}, environment_.cancelled);
    report.non_finite += non_finite;
    environment_.sink.append(environment_.file, out, group.count * item_size(job_.out_dtype));
  });
}

std::vector<double> TensorRun::gram() {
  const size_t pairs = size_t{models()} * (models() + 1) / 2;
  std::vector<double> total(pairs), spans;
  each([&](const WmMergeInputs& inputs) {
    const size_t count = (inputs.count + kMergeSpan - 1) / kMergeSpan;
    spans.assign(count * pairs, 0);
    engine().merge_gram({inputs, WM_AXIS_WHOLE, spans.data()}, cancelled());
    for (size_t span = 0; span < count; span++) {
      for (size_t i = 0; i < pairs; i++) total[i] += spans[span * pairs + i];
    }
  });
  return total;
}

std::vector<double> TensorRun::gram(WmMergeAxis axis) {
  const size_t pairs = size_t{models()} * (models() + 1) / 2;
  const uint64_t vectors = axis == WM_AXIS_ROW ? rows() : job_.row;
  std::vector<double> sums(vectors * pairs);
  each([&](const WmMergeInputs& inputs) {
    double* const to = sums.data() + (axis == WM_AXIS_ROW ? inputs.first / job_.row * pairs : 0);
    engine().merge_gram({inputs, axis, to}, cancelled());
  });
  return sums;
}

std::vector<double> TensorRun::sums(const std::vector<WmKeep>& keeps) {
  const size_t columns = size_t{models()} * kMergeSumColumns;
  std::vector<double> total(columns), spans;
  each([&](const WmMergeInputs& inputs) {
    const size_t count = (inputs.count + kMergeSpan - 1) / kMergeSpan;
    spans.assign(count * columns, 0);
    engine().merge_sums({inputs, keeps.data(), spans.data()}, cancelled());
    for (size_t span = 0; span < count; span++) {
      for (size_t i = 0; i < columns; i++) total[i] += spans[span * columns + i];
    }
  });
  return total;
}

}  // namespace wisemerge
