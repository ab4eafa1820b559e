// A network as a list of operations over values, in the order in which they run.
//
// A value is an array of 4-byte numbers: f32, or i32 where the table says so. An operation reads up to four
// of them and writes one that nobody wrote before. Parameters are tensors of the model, each at both ends of
// the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "wisemerge/dtype.h"
#include "wisemerge/operations.h"

namespace wisemerge::network {

inline constexpr uint32_t kNone = UINT32_MAX;

// operations.h says what the operands of each kind are.
struct Op {
  OpKind kind;
  uint32_t out;
  uint32_t value[kOpValues];  // kNone where there is none, as in `parameter`
  uint32_t parameter[kOpParameters];
  uint64_t size[kOpSizes];
  double real;
};

struct Value {
  enum class Source : uint8_t {
    kComputed,       // by an operation
    kFloats,         // f32 given by the caller, the same for all candidates
    kWhole,          // i32, likewise
    kEachCandidate,  // f32, an array per candidate, one behind the other
  };

  uint64_t count;  // elements
  Source source;
  // Where the caller has it, or wants it: candidates one behind the other. Null: in the network's own memory.
  void* memory;
};

// A tensor of the model in its stored dtype, F32, F16 or BF16, in C order. `finetuned` is null where both
// models have the same bytes.
struct Parameter {
  uint64_t count;
  DType zeroshot_dtype, finetuned_dtype;
  const void *zeroshot, *finetuned;
};

struct Program {
  std::vector<Value> values;
  std::vector<Op> ops;
};

// Throws Error ERR_INTERNAL_ARGUMENT unless every operand is there, of the kind and size the operation needs,
// and written once before it is read; and unless numbers that are places (ids, picked tokens, labels) are
// inside what they point into.
void check_program(const Program& program, const std::vector<Parameter>& parameters);

}  // namespace wisemerge::network
