#include "network/memory_plan.h"

#include <algorithm>

#include "core/number_row.h"
#include "network/memory_parts.h"

namespace wisemerge::network {
namespace {

bool in_place(OpKind kind) {
  switch (kind) {
    case OpKind::kAdd:
    case OpKind::kLayerNorm:
    case OpKind::kRmsNorm:
    case OpKind::kActivation:
    case OpKind::kGate:
    case OpKind::kRope:
    case OpKind::kNormalise:
      return true;
    default:
      return false;
  }
}

bool shared_result(const Op& op, const std::vector<MemoryPlan::Place>& places) {
  for (const uint32_t parameter : op.parameter) {
    if (parameter != kNone) return false;
  }
  return std::all_of(op.value, op.value + kOpValues,
                     [&](uint32_t id) { return id == kNone || places[id].shared; });
}

}  // namespace

MemoryPlan::MemoryPlan(const Program& program, uint64_t candidates) : places(program.values.size()) {
  constexpr size_t kNever = SIZE_MAX;
  std::vector<size_t> last_read(program.values.size(), kNever);
  for (size_t at = 0; at < program.ops.size(); at++) {
    for (const uint32_t id : program.ops[at].value) {
      if (id != kNone) last_read[id] = at;
    }
  }
  for (size_t id = 0; id < places.size(); id++) {
    const Value::Source source = program.values[id].source;
    places[id].shared = source == Value::Source::kFloats || source == Value::Source::kWhole;
  }
  Parts parts;
  for (size_t at = 0; at < program.ops.size(); at++) {
    const Op& op = program.ops[at];
    Place& out = places[op.out];
    const bool wanted = program.values[op.out].memory != nullptr;
    // What the caller wants is an array per candidate.
    out.shared = !wanted && shared_result(op, places);
    const uint32_t source = op.value[0];
    const auto takes_over = [&] {
      return in_place(op.kind) && source != kNone && last_read[source] == at &&
             places[source].offset != kElsewhere && places[source].shared == out.shared &&
             program.values[source].count == program.values[op.out].count;
    };
    if (!wanted && takes_over()) {
      out.offset = places[source].offset;
    } else if (!wanted) {
      const uint64_t one = whole_lines(program.values[op.out].count);
      out.offset = parts.take(std::max(kLineFloats, times(one, out.shared ? 1 : candidates)));
    }
    for (const uint32_t id : op.value) {
      if (id == kNone || last_read[id] != at || places[id].offset == kElsewhere) continue;
      if (places[id].offset != out.offset) parts.free(places[id].offset);
      last_read[id] = kNever;  // an operation may read a value twice
    }
    if (last_read[op.out] == kNever && !wanted) parts.free(out.offset);
  }
  floats = parts.highest();
}

}  // namespace wisemerge::network
