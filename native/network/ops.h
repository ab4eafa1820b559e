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

namespace wisemerge::network {

// What the operands of each kind of operation are; sizes in the order of Op::size, [x] marks what may be
// absent. The values cross the JavaScript boundary: append only.
enum class OpKind : uint8_t {
  // out [rows, outputs] = x [rows, inputs] W^T + [b]. Parameters W, [b]; W is [outputs, inputs], or [inputs,
  // outputs] if `transposed`. Sizes rows, inputs, outputs, transposed.
  kLinear,
  // Patches of images x: see cut_patches. Sizes images, channels, height, width, patch.
  kPatches,
  // Tokens in front and positions: see put_prefix. Parameters [front], [positions]. Sizes batch, prefix,
  // tokens, width.
  kPrefix,
  // out [rows, width] = the rows of a table by number: values i32 ids [rows]. Parameter the table. Sizes
  // rows,
  // width, length of the table.
  kEmbedding,
  // x + y. Sizes count.
  kAdd,
  // Parameters [weight], [bias]. Sizes rows, width. Real: epsilon.
  kLayerNorm,
  // Parameter weight. Sizes rows, width. Real: epsilon.
  kRmsNorm,
  // f(x). Sizes count, Activation.
  kActivation,
  // f(x) * y. Sizes count, Activation.
  kGate,
  // Values x, i32 positions [tokens], frequencies [pairs]. Sizes tokens, heads, head_dim, pairs. Real: scale.
  kRope,
  // Values q, k, v, [i32 mask]; see WmAttention. They may be one value: sizes batch, tokens, heads, kv_heads,
  // head_dim, causal, window, stride of q, of k, of v, and where q, k and v begin in their rows. Real: scale.
  kAttention,
  // Values x, i32 index [batch]. Sizes batch, tokens, width.
  kPickToken,
  // Values x, [i32 mask]. Sizes batch, tokens, width, first.
  kMeanToken,
  // Rows of length 1. Sizes rows, width.
  kNormalise,
  // out [rows, columns] = e^s x y^T for x [rows, width] and y [columns, width]. Parameter s, one number.
  // Sizes
  // rows, columns, width.
  kSimilarity,
  // See token_losses: values logits, i32 labels [rows]. Sizes rows, classes.
  kTokenLosses,
  // token_losses of x W^T + [b]: see LinearLosses. Values x, i32 labels [rows]. Parameters W, [b]. Sizes
  // rows,
  // inputs, classes.
  kLinearLosses,
};
inline constexpr uint64_t kOpKinds = 17;

inline constexpr size_t kOpValues = 4, kOpParameters = 2, kOpSizes = 13;
inline constexpr uint32_t kNone = UINT32_MAX;

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
