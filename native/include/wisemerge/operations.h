// The operations that networks are made of: what the operands of each are. The numbers cross the C ABI and
// the JavaScript boundary: append only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wisemerge::network {

// Sizes in the order of Op::size, [x] marks what may be absent.
enum class OpKind : uint8_t {
  // out [rows, outputs] = x [rows, inputs] W^T + [b]. Parameters W, [b]; W is [outputs, inputs], or [inputs,
  // outputs] if `transposed`. Sizes rows, inputs, outputs, transposed.
  kLinear,
  // Patches of images x: see network/rearrange.h. Sizes images, channels, height, width, patch.
  kPatches,
  // Tokens in front and positions: see network/rearrange.h. Parameters [front], [positions]. Sizes batch,
  // prefix, tokens, width.
  kPrefix,
  // out [rows, width] = the rows of a table by number: values i32 ids [rows]. Parameter the table. Sizes
  // rows, width, length of the table.
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
  // Sizes rows, columns, width.
  kSimilarity,
  // See network/token_loss.h: values logits, i32 labels [rows]. Sizes rows, classes.
  kTokenLosses,
  // The same of the logits x W^T, which exist a slice of classes at a time. Values x [rows, inputs], i32
  // labels [rows]. Parameter W [classes, inputs]. Sizes rows, inputs, classes.
  kHeadLosses,
};
inline constexpr uint64_t kOpKinds = 17;

inline constexpr size_t kOpValues = 4, kOpParameters = 2, kOpSizes = 13;

enum class Activation : uint8_t { kGelu, kRelu, kQuickGelu, kGeluTanh, kSilu, kTanh };
inline constexpr uint64_t kActivations = 6;

}  // namespace wisemerge::network
