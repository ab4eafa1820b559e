#include "merge/tensor_run.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/xxh3.h"
#include "wisemerge/lerp.h"

namespace wisemerge {
namespace {

// Whether the coefficients of a whole tensor are numbers.
bool defined(const WmMergeCombine& call) {
  if (call.axis != WM_AXIS_WHOLE) return true;
  const uint32_t models = call.operation == WM_MERGE_FISHER ? call.inputs.models / 2 : call.inputs.models;
  const auto finite = [models](const double* values) {
    return !values || std::all_of(values, values + models, [](double v) { return std::isfinite(v); });
  };
  return finite(call.weights) && finite(call.factors);
}

}  // namespace

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

void TensorRun::sweep(bool last, const std::function<void(const MergeRange&, const TensorGroup&)>& visit,
                      const std::vector<uint64_t>* firsts) {
  if (started_ && !resident_) {
    sweep_ = again_();
    if (firsts) sweep_->keep_only(*firsts);
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

void TensorRun::each_of(const std::vector<uint64_t>& firsts,
                        const std::function<void(const WmMergeInputs&)>& visit) {
  sweep(
      false,
      [&](const MergeRange& range, const TensorGroup& group) {
        if (std::binary_search(firsts.begin(), firsts.end(), group.first)) visit(range.inputs);
      },
      &firsts);
}

void TensorRun::write(const std::function<void(WmMergeCombine&)>& make) {
  sweep(true, [&](const MergeRange& range, const TensorGroup& group) {
    uint64_t non_finite = 0;
    WmMergeCombine call{};
    call.inputs = range.inputs;
    call.out_dtype = static_cast<int32_t>(job_.out_dtype);
    call.non_finite = &non_finite;
    make(call);
    if (!defined(call)) {
      const std::vector<float> nothing(std::min<uint64_t>(group.count, kMergeSpan), std::nanf(""));
      for (uint64_t at = 0; at < group.count; at += nothing.size()) {
        append(DType::kF32, nothing.data(), std::min<uint64_t>(nothing.size(), group.count - at));
      }
      return;
    }
    make_output(group.count, [&](void* out) {
      call.out = out;
      environment_.engine.merge_combine(call, environment_.cancelled);
    });
    report.non_finite += non_finite;
  });
}

void TensorRun::write_values(const std::function<void(const WmMergeInputs&, double*)>& make) {
  std::vector<double> values;
  sweep(true, [&](const MergeRange& range, const TensorGroup& group) {
    values.resize(group.count);
    make(range.inputs, values.data());
    append(DType::kF64, values.data(), group.count);
  });
}

void TensorRun::append(DType dtype, const void* data, uint64_t count) {
  if (dtype == job_.out_dtype && !is_float(dtype)) {
    return environment_.sink.append(environment_.file, data, count * item_size(dtype));
  }
  // Interpolation with itself at 0 is a cast, or a copy, and counts what is not finite.
  const double alpha = 0;
  uint64_t non_finite = 0;
  void* out = nullptr;
  WmLerp item{};
  item.x_dtype = item.y_dtype = static_cast<int32_t>(dtype);
  item.out_dtype = static_cast<int32_t>(job_.out_dtype);
  item.alpha_count = 1;
  item.count = count;
  item.x = item.y = data;
  item.alphas = &alpha;
  item.outs = &out;
  item.non_finite = &non_finite;
  make_output(count, [&](void* room) {
    out = room;
    environment_.engine.lerp({item}, environment_.cancelled);
  });
  report.non_finite += non_finite;
}

void TensorRun::make_output(uint64_t count, const std::function<void(void*)>& make) {
  const uint64_t item = item_size(job_.out_dtype), bytes = count * item;
  uint8_t* const room = environment_.sink.room(environment_.file, bytes);
  if (room && reinterpret_cast<uintptr_t>(room) % item == 0) {
    make(room);
    return environment_.sink.added(environment_.file, bytes);
  }
  make(environment_.out);
  environment_.sink.append(environment_.file, environment_.out, bytes);
}

void TensorRun::copy(size_t input) {
  const DType from = loaded_dtype(job_.inputs[input]);
  sweep(true,
        [&](const MergeRange&, const TensorGroup& group) { append(from, group.data[input], group.count); });
}

void TensorRun::copy_base() { copy(static_cast<size_t>(base_)); }

void TensorRun::copy_model(uint32_t i) {
  // A file without tensors is made of one that has nothing to copy.
  if (job_.inputs.empty()) return environment_.last_sweep();
  copy(others_[i]);
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
    engine().merge_sums({inputs, keeps.data(), spans.data(), WM_AXIS_WHOLE}, cancelled());
    for (size_t span = 0; span < count; span++) {
      for (size_t i = 0; i < columns; i++) total[i] += spans[span * columns + i];
    }
  });
  return total;
}

}  // namespace wisemerge
