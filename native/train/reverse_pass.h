// One reverse pass over a program: from the gradient of the loss by the output to those by the parameters.
#pragma once

#include <cstdint>
#include <vector>

#include "core/engine.h"
#include "core/thread_pool.h"
#include "network/ops.h"
#include "train/gradient_plan.h"

namespace wisemerge::train {

// Parameters in f32, and an array for their gradients in which parameter p begins at starts[p].
struct ParameterGradients {
  const std::vector<network::Parameter>& parameters;
  const std::vector<uint64_t>& starts;
  float* gradient;
};

class ReversePass {
 public:
  // `memory` is laid out as the plan says; kept values and the gradient by the output are there.
  ReversePass(Engine& engine, ThreadPool& pool, const network::Program& program, const GradientPlan& plan,
              float* memory, const ParameterGradients& parameters);

  // Throws as Engine, and ERR_ABORTED.
  void run(uint32_t output, WmCancelFlag cancelled);

 private:
  void run_op(const network::Op& op, WmCancelFlag cancelled);
  void linear(const network::Op& op, WmCancelFlag cancelled);
  void attention(const network::Op& op, WmCancelFlag cancelled);
  void hand_on(const network::Op& op);

  const float* value(uint32_t id) const { return static_cast<const float*>(program_.values[id].memory); }
  const int32_t* whole(uint32_t id) const {
    return id == network::kNone ? nullptr : static_cast<const int32_t*>(program_.values[id].memory);
  }
  const float* parameter(uint32_t id) const;
  float* parameter_gradient(uint32_t id) const;
  float* gradient(uint32_t id) const { return memory_ + plan_.gradient[id]; }

  // Calls body(dx) for the gradient by value `id`, which body writes; null where none is wanted. Where other
  // readers of the value have been before, what body wrote is added to theirs.
  template <class Body>
  void write(uint32_t id, const Body& body);
  // The place of the gradient by value `id`, zeros or what other readers left, to be added to.
  float* sum(uint32_t id);

  Engine& engine_;
  ThreadPool& pool_;
  const network::Program& program_;
  const GradientPlan& plan_;
  float* const memory_;
  const ParameterGradients parameters_;
  std::vector<bool> begun_;  // by value: whether its gradient has anything in it
};

}  // namespace wisemerge::train
