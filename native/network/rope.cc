#include "network/rope.h"

#include <algorithm>

#include "network/activations.h"
#include "wisemerge/angle.h"

namespace wisemerge::network {
namespace {

// Pairs whose angles are computed at a time, for all heads of a token.
constexpr size_t kPairs = 64;

}  // namespace

void rope(ThreadPool& pool, const Rope& call, const float* x, float* out) {
  const size_t width = call.heads * call.head_dim;
  pool.parallel_for(call.tokens, grain_of(4 * width), [&](size_t begin, size_t end) {
    float cosines[kPairs], sines[kPairs];
    for (size_t i = begin; i < end; i++) {
      const float* const in = x + i * width;
      float* const to = out + i * width;
      if (to != in) std::copy_n(in, width, to);
      for (size_t first = 0; first < call.pairs; first += kPairs) {
        const size_t count = std::min(kPairs, call.pairs - first);
        for (size_t c = 0; c < count; c++) {
          // The angle is rounded to f32, as the models were trained; its functions are not.
          const float angle = static_cast<float>(call.positions[i]) * call.frequencies[first + c];
          const SineCosine of = sine_cosine(angle);
          cosines[c] = static_cast<float>(of.cosine) * call.scale;
          sines[c] = static_cast<float>(of.sine) * call.scale;
        }
        for (size_t h = 0; h < call.heads; h++) {
          float* const low = to + h * call.head_dim + first;
          float* const high = low + call.pairs;
          for (size_t c = 0; c < count; c++) {
            const float a = low[c], b = high[c];
            low[c] = a * cosines[c] - b * sines[c];
            high[c] = b * cosines[c] + a * sines[c];
          }
        }
      }
    }
  });
}

}  // namespace wisemerge::network
