#include "network/ops.h"

#include <string>

#include "core/number_row.h"
#include "core/status.h"
#include "network/activations.h"

namespace wisemerge::network {
namespace {

// One operation's operands against what its kind needs.
class OpCheck {
 public:
  OpCheck(const Program& program, const std::vector<Parameter>& parameters, const std::vector<bool>& written,
          size_t at)
      : program_(program), parameters_(parameters), written_(written), op_(program.ops[at]), at_(at) {}

  void run() {
    const auto& n = op_.size;
    switch (op_.kind) {
      case OpKind::kLinear:
        values(1, 1);
        value(0, times(n[0], n[1]));
        parameter(0, times(n[1], n[2]));
        optional_parameter(1, n[2]);
        return out(times(n[0], n[2]));
      case OpKind::kPatches: {
        values(1, 1);
        need(n[4] > 0 && n[2] >= n[4] && n[3] >= n[4], "patches larger than the image");
        value(0, times(times(n[0], n[1]), times(n[2], n[3])));
        return out(times(times(n[0], times(n[2] / n[4], n[3] / n[4])), times(n[1], times(n[4], n[4]))));
      }
      case OpKind::kPrefix:
        values(1, 1);
        value(0, times(n[0], times(n[2], n[3])));
        need(n[1] == 0 || op_.parameter[0] != kNone, "no tokens to put in front");
        optional_parameter(0, times(n[1], n[3]));
        optional_parameter(1, times(n[1] + n[2], n[3]));
        return out(times(n[0], times(n[1] + n[2], n[3])));
      case OpKind::kEmbedding:
        values(1, 1);
        places(0, n[0], n[2], false);
        parameter(0, times(n[1], n[2]));
        return out(times(n[0], n[1]));
      case OpKind::kAdd:
        values(2, 2);
        value(0, n[0]);
        value(1, n[0]);
        return out(n[0]);
      case OpKind::kLayerNorm:
      case OpKind::kRmsNorm:
        values(1, 1);
        value(0, times(n[0], n[1]));
        if (op_.kind == OpKind::kRmsNorm) parameter(0, n[1]);
        optional_parameter(0, n[1]);
        optional_parameter(1, n[1]);
        need(op_.real >= 0, "epsilon is negative");
        return out(times(n[0], n[1]));
      case OpKind::kActivation:
      case OpKind::kGate: {
        const size_t count = op_.kind == OpKind::kGate ? 2 : 1;
        values(count, count);
        for (size_t i = 0; i < count; i++) value(i, n[0]);
        need(n[1] < kActivations, "an unknown activation");
        return out(n[0]);
      }
      case OpKind::kRope:
        values(3, 3);
        value(0, times(n[0], times(n[1], n[2])));
        whole(1, n[0]);
        value(2, n[3]);
        need(n[3] <= n[2] / 2, "more rotated numbers than a head has");
        return out(times(n[0], times(n[1], n[2])));
      case OpKind::kAttention:
        return attention();
      case OpKind::kPickToken:
        values(2, 2);
        value(0, times(n[0], times(n[1], n[2])));
        places(1, n[0], n[1], false);
        return out(times(n[0], n[2]));
      case OpKind::kMeanToken:
        values(1, 2);
        value(0, times(n[0], times(n[1], n[2])));
        if (op_.value[1] != kNone) whole(1, times(n[0], n[1]));
        return out(times(n[0], n[2]));
      case OpKind::kNormalise:
        values(1, 1);
        value(0, times(n[0], n[1]));
        return out(times(n[0], n[1]));
      case OpKind::kSimilarity:
        values(2, 2);
        value(0, times(n[0], n[2]));
        value(1, times(n[1], n[2]));
        parameter(0, 1);
        return out(times(n[0], n[1]));
      case OpKind::kTokenLosses:
        values(2, 2);
        value(0, times(n[0], n[1]));
        places(1, n[0], n[1], true);
        return out(n[0]);
      case OpKind::kLinearLosses:
        values(2, 2);
        need(n[2] > 0, "no classes");
        value(0, times(n[0], n[1]));
        places(1, n[0], n[2], true);
        parameter(0, times(n[1], n[2]));
        optional_parameter(1, n[2]);
        return out(n[0]);
    }
    need(false, "an unknown kind of operation");
  }

 private:
  void need(bool condition, const std::string& why) const {
    if (condition) return;
    throw Error("ERR_INTERNAL_ARGUMENT", "operation " + std::to_string(at_) + " of kind " +
                                             std::to_string(static_cast<int>(op_.kind)) + ": " + why);
  }

  // The first `least` values are there, and none beyond `most`.
  void values(size_t least, size_t most) const {
    for (size_t i = 0; i < kOpValues; i++) {
      const uint32_t id = op_.value[i];
      need(id != kNone || i >= least, "a value is missing");
      need(id == kNone || (i < most && id < program_.values.size() && written_[id]), "a value is not there");
    }
  }
  const Value& given(size_t i, uint64_t count) const {
    const Value& value = program_.values[op_.value[i]];
    need(value.count == count, "value " + std::to_string(i) + " has " + std::to_string(value.count) +
                                   " elements; wanted are " + std::to_string(count));
    return value;
  }
  void value(size_t i, uint64_t count) const {
    need(given(i, count).source != Value::Source::kWhole, "whole numbers in the place of floats");
  }
  void whole(size_t i, uint64_t count) const {
    need(given(i, count).source == Value::Source::kWhole, "floats in the place of whole numbers");
  }
  void places(size_t i, uint64_t count, uint64_t limit, bool negative) const {
    whole(i, count);
    const auto* const numbers = static_cast<const int32_t*>(program_.values[op_.value[i]].memory);
    for (uint64_t j = 0; j < count; j++) {
      const int32_t place = numbers[j];
      need(place < 0 ? negative : static_cast<uint64_t>(place) < limit,
           std::to_string(place) + " is outside 0.." + std::to_string(limit - 1));
    }
  }
  void parameter(size_t i, uint64_t count) const {
    need(op_.parameter[i] != kNone, "a parameter is missing");
    optional_parameter(i, count);
  }
  void optional_parameter(size_t i, uint64_t count) const {
    const uint32_t id = op_.parameter[i];
    if (id == kNone) return;
    need(id < parameters_.size(), "there is no such parameter");
    need(parameters_[id].count == count, "parameter " + std::to_string(id) + " has " +
                                             std::to_string(parameters_[id].count) +
                                             " elements; wanted are " + std::to_string(count));
  }
  void out(uint64_t count) const {
    need(op_.out < program_.values.size() && !written_[op_.out], "its result is no new value");
    const Value& value = program_.values[op_.out];
    need(value.source == Value::Source::kComputed && value.count == count, "its result has another size");
  }

  void attention() const {
    const auto& n = op_.size;
    values(3, 4);
    const uint64_t tokens = times(n[0], n[1]), width = times(n[2], n[4]), kv_width = times(n[3], n[4]);
    need(n[3] > 0 && n[4] > 0 && n[2] % n[3] == 0, "heads do not share out");
    for (size_t i = 0; i < 3; i++) {
      const uint64_t stride = n[7 + i], begin = n[10 + i], wanted = i == 0 ? width : kv_width;
      value(i, times(tokens, stride));
      need(begin <= stride && wanted <= stride - begin, "heads leave their rows");
    }
    if (op_.value[3] != kNone) whole(3, tokens);
    out(times(tokens, width));
  }

  const Program& program_;
  const std::vector<Parameter>& parameters_;
  const std::vector<bool>& written_;
  const Op& op_;
  const size_t at_;
};

}  // namespace

void check_program(const Program& program, const std::vector<Parameter>& parameters) {
  std::vector<bool> written;
  for (const Value& value : program.values) {
    const bool given = value.source != Value::Source::kComputed;
    if (given && !value.memory) throw Error("ERR_INTERNAL_ARGUMENT", "a given value has no memory");
    written.push_back(given);
  }
  for (size_t at = 0; at < program.ops.size(); at++) {
    OpCheck(program, parameters, written, at).run();
    written[program.ops[at].out] = true;
  }
}

}  // namespace wisemerge::network
