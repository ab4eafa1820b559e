// What a reverse pass over a program needs, and where it lies in one array of floats.
#pragma once

#include <cstdint>
#include <vector>

#include "network/ops.h"

namespace wisemerge::train {

// Values that some backward pass reads are kept from the forward pass, each in a place of its own. The
// gradient of a value lives from its last reader to the operation that made it; behind that its memory is
// free again, and passes that go element by element hand it on to their first operand.
//
// Throws Error ERR_INTERNAL_ARGUMENT for an operation that has no backward pass, attention to what no
// parameter made, or a parameter that two operations read.
struct GradientPlan {
  static constexpr uint64_t kNowhere = UINT64_MAX;

  // `program` is checked. `output` is the value that the loss is computed from; its gradient takes its place.
  GradientPlan(const network::Program& program, uint32_t output);

  std::vector<bool> passed;        // by operation: whether the reverse pass goes through it
  std::vector<bool> wanted;        // by value: whether it depends on a parameter and the loss on it
  std::vector<bool> read;          // by value: whether the reverse pass reads it
  std::vector<uint64_t> kept;      // by value: in floats, or kNowhere
  std::vector<uint64_t> gradient;  // by value, where one is wanted
  uint64_t first_gradient = 0;     // behind what is kept
  uint64_t spare = 0;              // where gradients lie that are added to others
  uint64_t floats = 0;             // of all

 private:
  void find_wanted(const network::Program& program, uint32_t output);
  void place_kept(const network::Program& program, uint32_t output);
  void place_gradients(const network::Program& program, uint32_t output);
};

}  // namespace wisemerge::train
