// One reverse pass over a program (Linnainmaa, 1970): which gradients exist when, and where. A device has the
// operations' own backward passes.
#pragma once

#include <cstdint>

#include "network/ops.h"
#include "train/gradient_plan.h"
#include "wisemerge/backend.h"

namespace wisemerge::train {

// Where the backward pass of an operation finds and leaves gradients, in floats as GradientPlan has them.
struct GradientPlaces {
  static constexpr uint64_t kNowhere = GradientPlan::kNowhere;

  uint64_t out;                        // by the result: read
  uint64_t value[network::kOpValues];  // by the values; kNowhere: not wanted
  // Added to what other readers of the value have left, or took its place. Passes that go element by element
  // may write over `out`.
  bool add[network::kOpValues];
};

class GradientDevice {
 public:
  virtual ~GradientDevice() = default;
  // The backward pass of operation `at`: gradients by its values and parameters. Throws as Engine.
  virtual void reverse(size_t at, const GradientPlaces& places, WmCancelFlag cancelled) = 0;
};

// From the gradient by `output`, which is in its place, to those by all parameters. Throws as the device, and
// ERR_ABORTED.
void run_reverse_pass(GradientDevice& device, const network::Program& program, const GradientPlan& plan,
                      uint32_t output, WmCancelFlag cancelled);

}  // namespace wisemerge::train
