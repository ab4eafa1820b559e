// Rotary position embedding, as network/rope.h has it: one thread per token and pair of components, for all
// heads.
#pragma once

#include "cuda/kernels/grid.h"
#include "wisemerge/angle.h"

namespace wisemerge::cuda {

// out may be x.
struct Rotary {
  uint64_t tokens, heads, head_dim, pairs;
  const float* x;
  const int32_t* positions;
  const float* frequencies;
  float scale;
  float* out;

  // Places of a head below its upper halves of pairs: those pairs begin at, then what is not turned.
  WM_HD uint64_t places() const { return head_dim - pairs; }
};

WM_HD void turn_pair(const Rotary& call, uint64_t token, uint64_t pair) {
  const float angle = static_cast<float>(call.positions[token]) * call.frequencies[pair];
  const SineCosine of = sine_cosine(angle);
  const float cosine = static_cast<float>(of.cosine) * call.scale;
  const float sine = static_cast<float>(of.sine) * call.scale;
  for (uint64_t h = 0; h < call.heads; h++) {
    const uint64_t low = (token * call.heads + h) * call.head_dim + pair, high = low + call.pairs;
    const float a = call.x[low], b = call.x[high];
    call.out[low] = a * cosine - b * sine;
    call.out[high] = b * cosine + a * sine;
  }
}

// Any grid.
WM_HD void rotary_body(const GridPosition& at, const Rotary& call) {
  const uint64_t places = call.places();
  for (uint64_t unit = uint64_t{at.block} * at.threads + at.thread; unit < call.tokens * places;
       unit += uint64_t{at.blocks} * at.threads) {
    const uint64_t token = unit / places, place = unit % places;
    if (place < call.pairs) {
      turn_pair(call, token, place);
    } else if (call.out != call.x) {
      for (uint64_t h = 0; h < call.heads; h++) {
        const uint64_t i = (token * call.heads + h) * call.head_dim + call.pairs + place;
        call.out[i] = call.x[i];
      }
    }
  }
}

}  // namespace wisemerge::cuda
