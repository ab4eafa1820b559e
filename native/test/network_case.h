// A network to try on a device: a program with two models, an input and candidates between the models.
#pragma once

#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/engine.h"
#include "network/network.h"
#include "network_programs.h"
#include "parity_harness.h"
#include "program_reference.h"

namespace wisemerge::test {

using network::Parameter;
using network::ProductWay;

// Both ends of a model in all dtypes that weights come in, mixed: some ends differ in dtype, some tensors are
// the same in both.
class TwoModels {
 public:
  explicit TwoModels(const std::vector<uint64_t>& tensors) {
    constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16};
    for (size_t p = 0; p < tensors.size(); p++) {
      const DType first = kDTypes[p % 3], second = kDTypes[(p % 7 == 3 ? p + 1 : p) % 3];
      const void* const x = store(first, tensors[p], 2 * p);
      const void* const y = p % 5 == 4 ? nullptr : store(second, tensors[p], 2 * p + 1);
      parameters_.push_back({tensors[p], first, y ? second : first, x, y});
    }
  }

  const std::vector<Parameter>& parameters() const { return parameters_; }

  // All tensors one behind another, interpolated in f64.
  Doubles at(const double* alphas) const {
    Doubles all;
    for (size_t p = 0; p < parameters_.size(); p++) {
      const Parameter& parameter = parameters_[p];
      for (uint64_t i = 0; i < parameter.count; i++) {
        const double x = number(parameter.zeroshot_dtype, parameter.zeroshot, i);
        const double y = parameter.finetuned ? number(parameter.finetuned_dtype, parameter.finetuned, i) : x;
        all.push_back(x + alphas[p] * (y - x));
      }
    }
    return all;
  }

 private:
  const void* store(DType dtype, uint64_t count, uint64_t seed) {
    memory_.emplace_back(count * item_size(dtype));
    Random random(seed + 1);
    with_dtype(dtype, [&]<DType D>() {
      auto* const to = reinterpret_cast<typename Element<D>::Bits*>(memory_.back().data());
      for (uint64_t i = 0; i < count; i++) {
        to[i] = Element<D>::store64(static_cast<double>(static_cast<int64_t>(random.next())) * 0x1p-64);
      }
    });
    return memory_.back().data();
  }
  static double number(DType dtype, const void* data, uint64_t i) {
    double value = 0;
    with_dtype(dtype, [&]<DType D>() {
      value = Element<D>::load64(static_cast<const typename Element<D>::Bits*>(data)[i]);
    });
    return value;
  }

  std::deque<Bytes> memory_;
  std::vector<Parameter> parameters_;
};

// A program with models, an input, and three candidates between the models, each tensor at its own alpha.
class NetworkCase {
 public:
  static constexpr uint64_t kCandidates = 3;

  explicit NetworkCase(NamedProgram named) : named_(std::move(named)), models_(named_.draft.tensors) {
    const uint64_t inputs = named_.draft.count(0), tensors = models_.parameters().size();
    for (uint64_t i = 0; i < inputs; i++) input_.push_back(std::sin(0.37f * static_cast<float>(i)));
    constexpr double kAlphas[] = {0.3, 0, 1, -0.25, 0.7, 1.5, 1e-60};
    for (uint64_t k = 0; k < kCandidates; k++) {
      for (uint64_t p = 0; p < tensors; p++) alphas_.push_back(k == 0 ? 0.3 : kAlphas[(p + 2 * k) % 7]);
    }
    for (const uint32_t output : named_.outputs)
      results_.emplace_back(kCandidates * named_.draft.count(output));
    network::Program& program = named_.draft.program;
    program.values[0].memory = input_.data();
    for (size_t i = 0; i < results_.size(); i++) {
      program.values[named_.outputs[i]].memory = results_[i].data();
    }
  }

  const std::string& name() const { return named_.name; }
  const TwoModels& models() const { return models_; }
  using Results = std::vector<std::vector<float>>;

  // All results of candidates `first` to `first` + `count`; the memory of others is untouched.
  const Results& run(network::Network& network, uint64_t first = 0, uint64_t count = kCandidates,
                     WmCancelFlag cancelled = nullptr) {
    for (auto& result : results_) std::fill(result.begin(), result.end(), 77.0f);
    const auto tensors = static_cast<std::ptrdiff_t>(models_.parameters().size());
    const auto begin = alphas_.begin() + static_cast<std::ptrdiff_t>(first) * tensors;
    network.run(named_.draft.program, {count, {begin, begin + static_cast<std::ptrdiff_t>(count) * tensors}},
                cancelled);
    return results_;
  }
  const Results& run(const std::shared_ptr<Engine>& engine, ProductWay way) {
    network::Network network(engine, models_.parameters(), 2, way);
    return run(network);
  }

  // The largest distance from f64, as a share of the largest number of each result.
  double distance(const Results& results) {
    double worst = 0;
    for (uint64_t k = 0; k < kCandidates; k++) {
      const Doubles weights = models_.at(&alphas_[k * models_.parameters().size()]);
      const Doubles input(input_.begin(), input_.end());
      for (size_t i = 0; i < results.size(); i++) {
        named_.draft.output = named_.outputs[i];
        ProgramReference reference(named_.draft, weights, input);
        const Doubles& wanted = reference.run();
        double largest = 0, off = 0;
        for (size_t e = 0; e < wanted.size(); e++) {
          largest = std::fmax(largest, std::fabs(wanted[e]));
          off = std::fmax(off, std::fabs(static_cast<double>(results[i][k * wanted.size() + e]) - wanted[e]));
        }
        worst = std::fmax(worst, off / largest);
      }
    }
    return worst;
  }

 private:
  NamedProgram named_;
  TwoModels models_;
  std::vector<float> input_;
  std::vector<double> alphas_;  // [candidate][tensor]
  Results results_;
};

inline bool same_bits(const NetworkCase::Results& a, const NetworkCase::Results& b) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); i++) {
    same =
        a[i].size() == b[i].size() && std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) == 0;
  }
  return same;
}

}  // namespace wisemerge::test
