// Alphas at which the exponentials of a sample's logits come from those at one of them. Logits are affine in
// alpha, z(alpha) = z0 + alpha d, so that e^z(alpha + s) = e^z(alpha) e^(s d): in a run of evenly spaced
// alphas the middle one's exponentials are computed, and its neighbours' are products with e^(s d) and e^(-s
// d), which all runs of a row share. Backends take the same runs, so that their sums have the same bits.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "wisemerge/softmax.h"

namespace wisemerge {

inline constexpr uint32_t kRunSide = 2, kRunAlphas = 2 * kRunSide + 1;
// Alphas that a pass on a device takes at once: more would leave few samples to a slot, whose metrics share
// it. No run goes on from one such block to the next.
inline constexpr uint32_t kAlphaBlock = 1024;
// Where an end of a run is farther from the middle than this in any logit, every exponential is computed.
inline constexpr float kRunReach = 10.0f;
// Exponents of the middle are at least this, so that no product is subnormal: e^-77 e^-10 is above 2^-126.
inline constexpr float kRunLeast = -77.0f;

struct AlphaRun {
  uint32_t first, count;  // kRunAlphas of them, or 1
};

struct AlphaRuns {
  std::vector<AlphaRun> runs;
  float step = 0;  // of all runs that are longer than 1; 0 where there are none
};

// Whether kRunAlphas alphas are a step apart, up to their rounding as f32.
inline bool evenly_spaced(const float* alphas, float step) {
  for (uint32_t i = 0; i < kRunAlphas; i++) {
    const double steps = static_cast<double>(i) - kRunSide, alpha = static_cast<double>(alphas[i]);
    const double wanted = static_cast<double>(alphas[kRunSide]) + steps * static_cast<double>(step);
    if (!(std::fabs(alpha - wanted) <= 0x1p-23 * std::fmax(1.0, std::fabs(alpha)))) return false;
  }
  return step != 0;
}

// The first `asked` of `alphas` in runs where they are evenly spaced, with the step of the first such run;
// all others by themselves.
inline AlphaRuns alpha_runs(const std::vector<float>& alphas, size_t asked) {
  AlphaRuns found;
  for (size_t k = 0; k < alphas.size();) {
    uint32_t count = 1;
    const size_t last = k + kRunAlphas - 1;
    if (last < asked && k / kAlphaBlock == last / kAlphaBlock) {
      const float step = found.step != 0 ? found.step : (alphas[last] - alphas[k]) / (kRunAlphas - 1);
      if (evenly_spaced(alphas.data() + k, step)) found.step = step, count = kRunAlphas;
    }
    found.runs.push_back({static_cast<uint32_t>(k), count});
    k += count;
  }
  return found;
}

// Those of the block of alphas from `begin` on, counted from there; the places behind them, up to `places`,
// are by themselves.
inline AlphaRuns runs_of_block(const AlphaRuns& all, uint32_t begin, uint32_t places) {
  AlphaRuns found{{}, all.step};
  for (const AlphaRun& run : all.runs) {
    if (run.first / kAlphaBlock != begin / kAlphaBlock) continue;
    found.runs.push_back({run.first - begin, run.count});
  }
  for (uint32_t k = found.runs.empty() ? 0 : found.runs.back().first + found.runs.back().count; k < places;
       k++) {
    found.runs.push_back({k, 1});
  }
  return found;
}

// Whether a row whose largest |z1 - z0| is this, NaN aside, goes along runs of this step.
WM_HD bool within_reach(float step, float largest_delta) {
  return step != 0 && fabsf(step) * static_cast<float>(kRunSide) * largest_delta <= kRunReach;
}

}  // namespace wisemerge
