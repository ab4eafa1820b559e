#include "train/gradient_plan.h"

#include <algorithm>
#include <string>

#include "core/status.h"
#include "network/memory_parts.h"

namespace wisemerge::train {

using namespace network;

namespace {

// What a backward pass reads of the forward pass's values, and whether it may put the gradient of its first
// operand where that of its result lies.
struct Pass {
  size_t first, last;  // of the values that it reads
  bool in_place;
};

Pass pass_of(const Op& op, size_t at) {
  switch (op.kind) {
    case OpKind::kLinear:
      return {0, 1, false};
    case OpKind::kAdd:
      return {0, 0, true};
    case OpKind::kLayerNorm:
    case OpKind::kActivation:
    case OpKind::kNormalise:
      return {0, 1, true};
    case OpKind::kAttention:
      return {0, 4, false};
    case OpKind::kPrefix:
      return {0, 0, false};
    case OpKind::kPickToken:
    case OpKind::kMeanToken:
      return {1, 2, false};
    default:
      throw Error("ERR_INTERNAL_ARGUMENT", "operation " + std::to_string(at) + " of kind " +
                                               std::to_string(static_cast<int>(op.kind)) +
                                               " has no backward pass");
  }
}

}  // namespace

GradientPlan::GradientPlan(const Program& program, uint32_t output)
    : passed(program.ops.size()),
      wanted(program.values.size()),
      read(program.values.size()),
      kept(program.values.size(), kNowhere),
      gradient(program.values.size(), kNowhere) {
  find_wanted(program, output);
  place_kept(program, output);
  place_gradients(program, output);
}

void GradientPlan::find_wanted(const Program& program, uint32_t output) {
  std::vector<bool> depends(program.values.size()), read;
  for (size_t at = 0; at < program.ops.size(); at++) {
    const Op& op = program.ops[at];
    for (const uint32_t parameter : op.parameter) {
      if (parameter == kNone) continue;
      read.resize(std::max<size_t>(read.size(), parameter + 1));
      if (read[parameter]) {
        throw Error("ERR_INTERNAL_ARGUMENT", "two operations read parameter " + std::to_string(parameter));
      }
      read[parameter] = true;
      depends[op.out] = true;
    }
    for (const uint32_t id : op.value) {
      if (id != kNone && depends[id]) depends[op.out] = true;
    }
  }
  wanted[output] = depends[output];
  for (size_t at = program.ops.size(); at-- > 0;) {
    const Op& op = program.ops[at];
    if (!wanted[op.out]) continue;
    passed[at] = true;
    for (const uint32_t id : op.value) {
      if (id != kNone && depends[id]) wanted[id] = true;
    }
    if (op.kind == OpKind::kAttention &&
        !(wanted[op.value[0]] && wanted[op.value[1]] && wanted[op.value[2]])) {
      throw Error("ERR_INTERNAL_ARGUMENT", "operation " + std::to_string(at) + " attends to an input");
    }
  }
}

void GradientPlan::place_kept(const Program& program, uint32_t output) {
  const auto keep = [&](uint32_t id) {
    if (id == kNone) return;
    read[id] = true;
    if (kept[id] != kNowhere || program.values[id].source != Value::Source::kComputed) return;
    kept[id] = floats;
    floats += whole_lines(program.values[id].count);
  };
  keep(output);
  for (size_t at = 0; at < program.ops.size(); at++) {
    if (!passed[at]) continue;
    const Op& op = program.ops[at];
    const Pass pass = pass_of(op, at);
    for (size_t i = pass.first; i < pass.last; i++) keep(op.value[i]);
  }
}

void GradientPlan::place_gradients(const Program& program, uint32_t output) {
  const uint64_t first = first_gradient = floats;
  Parts parts;
  gradient[output] = kept[output];
  uint64_t widest = 0;
  for (size_t at = program.ops.size(); at-- > 0;) {
    if (!passed[at]) continue;
    const Op& op = program.ops[at];
    const uint64_t own = gradient[op.out];
    bool handed_on = false;
    for (const uint32_t id : op.value) {
      if (id == kNone || !wanted[id]) continue;
      if (gradient[id] != kNowhere) {
        widest = std::max(widest, program.values[id].count);
      } else if (pass_of(op, at).in_place && !handed_on && own >= first) {
        gradient[id] = own;
        handed_on = true;
      } else {
        gradient[id] = first + parts.take(std::max(kLineFloats, whole_lines(program.values[id].count)));
      }
    }
    if (!handed_on && own >= first) parts.free(own - first);
  }
  spare = first + parts.highest();
  floats = spare + whole_lines(widest);
}

}  // namespace wisemerge::train
