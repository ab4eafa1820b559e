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

MemoryPlan::MemoryPlan(const Program& program, uint64_t candidates, Memory memory,
                       const std::vector<bool>& kept)
    : places(program.values.size()) {
  constexpr size_t kNever = SIZE_MAX;
  const bool own = memory == Memory::kOwn;
  std::vector<size_t> last_read(program.values.size(), kNever);
  for (size_t at = 0; at < program.ops.size(); at++) {
    for (const uint32_t id : program.ops[at].value) {
      if (id != kNone) last_read[id] = at;
    }
  }
  Parts parts;
  const auto take = [&](uint32_t id) {
    const uint64_t one = whole_lines(program.values[id].count);
    places[id].offset = parts.take(std::max(kLineFloats, times(one, places[id].shared ? 1 : candidates)));
  };
  for (uint32_t id = 0; id < places.size(); id++) {
    const Value::Source source = program.values[id].source;
    places[id].shared = source == Value::Source::kFloats || source == Value::Source::kWhole;
    if (own && source != Value::Source::kComputed && last_read[id] != kNever) take(id);
  }
  for (size_t at = 0; at < program.ops.size(); at++) {
    const Op& op = program.ops[at];
    Place& out = places[op.out];
    const auto wanted = [&](uint32_t id) {
      const Value& value = program.values[id];
      return value.source == Value::Source::kComputed && value.memory != nullptr;
    };
    const auto stays = [&](uint32_t id) { return wanted(id) || (id < kept.size() && kept[id]); };
    // What the caller wants is an array per candidate.
    out.shared = !wanted(op.out) && shared_result(op, places);
    const uint32_t source = op.value[0];
    const auto takes_over = [&] {
      return in_place(op.kind) && source != kNone && last_read[source] == at && !stays(source) &&
             places[source].offset != kElsewhere && places[source].shared == out.shared &&
             program.values[source].count == program.values[op.out].count;
    };
    const bool here = own || !wanted(op.out);
    if (here && takes_over()) {
      out.offset = places[source].offset;
    } else if (here) {
      take(op.out);
    }
    for (const uint32_t id : op.value) {
      if (id == kNone || last_read[id] != at || places[id].offset == kElsewhere || stays(id)) continue;
      if (places[id].offset != out.offset) parts.free(places[id].offset);
      last_read[id] = kNever;  // an operation may read a value twice
    }
    if (last_read[op.out] == kNever && !stays(op.out)) parts.free(out.offset);
  }
  floats = parts.highest();
}

}  // namespace wisemerge::network
