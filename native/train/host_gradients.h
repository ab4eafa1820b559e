// The backward passes of operations on the CPU.
#pragma once

#include <cstdint>
#include <vector>

#include "core/engine.h"
#include "core/thread_pool.h"
#include "network/ops.h"
#include "train/reverse_pass.h"

namespace wisemerge::train {

// Parameters in f32, and an array for their gradients in which parameter p begins at starts[p].
struct ParameterGradients {
  const std::vector<network::Parameter>& parameters;
  const std::vector<uint64_t>& starts;
  float* gradient;
};

class HostGradients : public GradientDevice {
 public:
  // `memory` is laid out as the plan says; values that are read have their memory in the program.
  HostGradients(Engine& engine, ThreadPool& pool, const network::Program& program, float* memory,
                uint64_t spare, const ParameterGradients& parameters);

  void reverse(size_t at, const GradientPlaces& places, WmCancelFlag cancelled) override;

 private:
  void linear(const network::Op& op, const GradientPlaces& places, WmCancelFlag cancelled);
  void attention(const network::Op& op, const GradientPlaces& places, WmCancelFlag cancelled);
  void hand_on(const network::Op& op, const GradientPlaces& places);

  const float* value(uint32_t id) const { return static_cast<const float*>(program_.values[id].memory); }
  const int32_t* whole(uint32_t id) const {
    return id == network::kNone ? nullptr : static_cast<const int32_t*>(program_.values[id].memory);
  }
  const float* parameter(uint32_t id) const;
  float* parameter_gradient(uint32_t id) const;

  // Calls body(dx) for the gradient by the first value, which body writes; null where none is wanted. Where
  // it is added, what body wrote is.
  template <class Body>
  void write(const network::Op& op, const GradientPlaces& places, const Body& body);
  // The place of the gradient by a value, zeros or what other readers left, to be added to.
  float* sum(const network::Op& op, size_t i, const GradientPlaces& places);

  Engine& engine_;
  ThreadPool& pool_;
  const network::Program& program_;
  float* const memory_;
  const uint64_t spare_;
  const ParameterGradients parameters_;
};

}  // namespace wisemerge::train
