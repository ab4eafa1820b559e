// Passes of networks that go element by element.
#pragma once

#include "cuda/kernels/ends.h"
#include "wisemerge/network_functions.h"

namespace wisemerge::cuda {

// out = x + y, f(x), f(x) y, factor x, or f'(x) y. out may be x or y.
struct ElementPass {
  enum class Kind : uint8_t { kAdd, kActivation, kGate, kScale, kActivationGradient };
  Kind kind;
  network::Activation activation;
  const float *x, *y;
  float factor;
  uint64_t count;
  float* out;
};

WM_HD float pass_element(const ElementPass& call, float x, float y) {
  switch (call.kind) {
    case ElementPass::Kind::kAdd:
      return x + y;
    case ElementPass::Kind::kActivation:
      return network::activation(call.activation, x);
    case ElementPass::Kind::kGate:
      return network::activation(call.activation, x) * y;
    case ElementPass::Kind::kScale:
      return x * call.factor;
    case ElementPass::Kind::kActivationGradient:
      return network::activation_gradient(call.activation, x, y);
  }
  return 0;
}

// One thread per four elements. Any grid.
WM_HD void element_pass_body(const GridPosition& at, const ElementPass& call) {
  for (uint64_t first = (uint64_t{at.block} * at.threads + at.thread) * kMatmulQuad; first < call.count;
       first += uint64_t{at.blocks} * at.threads * kMatmulQuad) {
    const uint32_t valid = quad_size(call.count, first);
    float x[kMatmulQuad], y[kMatmulQuad] = {};
    load_floats(call.x + first, valid, 0, x);
    if (call.y) load_floats(call.y + first, valid, 0, y);
    WM_UNROLL
    for (uint32_t i = 0; i < kMatmulQuad; i++) x[i] = pass_element(call, x[i], y[i]);
    store_floats(call.out + first, valid, x);
  }
}

}  // namespace wisemerge::cuda
