#include "train/reverse_pass.h"

#include <vector>

#include "train/feature_rows.h"

namespace wisemerge::train {

using namespace network;

void run_reverse_pass(GradientDevice& device, const Program& program, const GradientPlan& plan,
                      uint32_t output, WmCancelFlag cancelled) {
  std::vector<bool> begun(program.values.size());  // whether a gradient has anything in it
  begun[output] = true;
  for (size_t at = program.ops.size(); at-- > 0;) {
    if (!plan.passed[at]) continue;
    stop_if_cancelled(cancelled);
    const Op& op = program.ops[at];
    GradientPlaces places{};
    places.out = plan.gradient[op.out];
    for (size_t i = 0; i < kOpValues; i++) {
      const uint32_t id = op.value[i];
      const bool wanted = id != kNone && plan.wanted[id];
      places.value[i] = wanted ? plan.gradient[id] : GradientPlaces::kNowhere;
      places.add[i] = wanted && begun[id];
      if (wanted) begun[id] = true;
    }
    device.reverse(at, places, cancelled);
  }
}

}  // namespace wisemerge::train
