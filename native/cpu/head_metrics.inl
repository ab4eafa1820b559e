// One sample at many alphas: its two rows of logits are read once, everything else stays in the L1 cache.

// z0 and z1 - z0 with the label's lane out of the race, padded to whole groups with classes that never win.
inline void split_row(const float* z0, const float* z1, size_t classes, int32_t label, float* base,
                      float* delta) {
  for (size_t c = 0; c < classes; c++) {
    base[c] = z0[c];
    delta[c] = z1[c] - z0[c];
  }
  const float never = -__builtin_inff();
  for (size_t c = classes; c < whole_groups(classes); c++) base[c] = never, delta[c] = 0;
  base[label] = never;
  delta[label] = 0;
}

// The lowest class among those with the highest logit.
inline int32_t first_of(const float* z, float value, size_t padded) {
  for (size_t c = 0; c < padded; c += kGroup) {
    uint32_t equal = 0;
    for (size_t g = 0; g < kGroupVectors; g++) {
      const Vi is = reinterpret_cast<Vi>(load_floats(z + c + g * kLanes) == broadcast<Vf>(value));
      equal |= lane_mask(is) << (g * kLanes);
    }
    if (equal) return static_cast<int32_t>(c) + __builtin_ctz(equal);
  }
  return 0;
}

struct Contest {
  float highest;   // of all other classes
  uint32_t above;  // classes above the label
  bool level;      // with it
};

// The logits at alpha, into z. Whom the label loses to is found only where it loses.
template <bool kLost>
WM_FORCE_INLINE Contest interpolate(const float* base, const float* delta, size_t padded, float alpha,
                                    float own, float* z) {
  Group max;
  Vi above[kGroupVectors] = {}, reaching[kGroupVectors] = {};
  for (size_t g = 0; g < kGroupVectors; g++) max.v[g] = broadcast<Vf>(-__builtin_inff());
  for (size_t c = 0; c < padded; c += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      const size_t at = c + g * kLanes;
      const Vf v = fma(broadcast<Vf>(alpha), load_floats(delta + at), load_floats(base + at));
      store_floats(z + at, v);
      max.v[g] = larger(v, max.v[g]);
      if constexpr (kLost) {
        above[g] -= reinterpret_cast<Vi>(v > broadcast<Vf>(own));
        reaching[g] -= reinterpret_cast<Vi>(v >= broadcast<Vf>(own));
      }
    }
  }
  uint32_t strictly = 0, all = 0;
  for (size_t g = 0; g < kGroupVectors; g++) {
    for (size_t i = 0; i < kLanes; i++) {
      strictly += static_cast<uint32_t>(above[g][i]);
      all += static_cast<uint32_t>(reaching[g][i]);
    }
  }
  return {maximum(max), strictly, all != strictly};
}

// `correct[k]` says whether the label is the argmax at alphas[k]; `scratch` has 3 * whole groups of floats.
void head_metrics(const float* z0, const float* z1, size_t classes, int32_t label, const float* alphas,
                  const uint8_t* correct, size_t count, float* scratch, SampleMetrics* out) {
  const size_t padded = whole_groups(classes);
  float *const base = scratch, *const delta = base + padded, *const z = delta + padded;
  split_row(z0, z1, classes, label, base, delta);
  for (size_t k = 0; k < count; k++) {
    const float own = fma_one(alphas[k], z1[label] - z0[label], z0[label]);
    const Contest contest = correct[k] ? interpolate<false>(base, delta, padded, alphas[k], own, z)
                                       : interpolate<true>(base, delta, padded, alphas[k], own, z);
    uint32_t rank = contest.above;
    for (int32_t c = 0; contest.level && c < label; c++) rank += z[c] == own;

    const float other = contest.highest, top = own > other ? own : other;
    Group sum = {}, squares = {};
    for (size_t c = 0; c < padded; c += kGroup) {
      for (size_t g = 0; g < kGroupVectors; g++) {
        const Vf e = exp_nonpositive(load_floats(z + c + g * kLanes) - broadcast<Vf>(top));
        sum.v[g] = sum.v[g] + e;
        squares.v[g] = fma(e, e, squares.v[g]);
      }
    }
    SampleSoftmax sample;
    sample.own = own;
    sample.other = other;
    sample.own_exp = exp_nonpositive(own - top);
    sample.others = total(sum);
    sample.squares = total(squares);
    sample.rank = rank;
    sample.other_exp = correct[k] ? 0 : exp_nonpositive(other - top);
    sample.first = correct[k] ? label : first_of(z, other, padded);
    out[k] = sample_metrics(sample, label, correct[k]);
  }
}

// Gives { f, df/db, df/dg, d2f/db2, d2f/dbdg, d2f/dg2 } of one sample (WmHeadMoments). Logits are taken
// relative to the label's: a constant added to all of them changes nothing. `scratch` has 3 * whole groups of
// floats.
void head_moments(const float* z0, const float* z1, size_t classes, int32_t label, float b, float g,
                  float* scratch, double* sums) {
  const size_t padded = whole_groups(classes);
  float *const base = scratch, *const delta = base + padded, *const u = delta + padded;
  for (size_t c = 0; c < classes; c++) {
    base[c] = z0[c] - z0[label];
    delta[c] = (z1[c] - z0[c]) - (z1[label] - z0[label]);
    u[c] = fma_one(b, base[c], g * delta[c]);
  }
  for (size_t c = classes; c < padded; c++) base[c] = delta[c] = 0, u[c] = -__builtin_inff();
  Group max;
  for (size_t i = 0; i < kGroupVectors; i++) max.v[i] = broadcast<Vf>(-__builtin_inff());
  for (size_t c = 0; c < padded; c += kGroup) {
    for (size_t i = 0; i < kGroupVectors; i++) {
      max.v[i] = larger(load_floats(u + c + i * kLanes), max.v[i]);
    }
  }
  const float top = maximum(max);
  Group e = {}, eb = {}, eg = {};
  for (size_t c = 0; c < padded; c += kGroup) {
    for (size_t i = 0; i < kGroupVectors; i++) {
      const size_t at = c + i * kLanes;
      const Vf p = exp_nonpositive(load_floats(u + at) - broadcast<Vf>(top));
      store_floats(u + at, p);
      e.v[i] = e.v[i] + p;
      eb.v[i] = fma(p, load_floats(base + at), eb.v[i]);
      eg.v[i] = fma(p, load_floats(delta + at), eg.v[i]);
    }
  }
  const double all = total(e), mean_b = total(eb) / all, mean_g = total(eg) / all;
  // Around the means, in a pass of its own: the difference of two large numbers would not be positive.
  const Vf center_b = broadcast<Vf>(static_cast<float>(mean_b));
  const Vf center_g = broadcast<Vf>(static_cast<float>(mean_g));
  Group bb = {}, bg = {}, gg = {};
  for (size_t c = 0; c < padded; c += kGroup) {
    for (size_t i = 0; i < kGroupVectors; i++) {
      const size_t at = c + i * kLanes;
      const Vf p = load_floats(u + at);
      const Vf x = load_floats(base + at) - center_b, y = load_floats(delta + at) - center_g;
      bb.v[i] = fma(p * x, x, bb.v[i]);
      bg.v[i] = fma(p * x, y, bg.v[i]);
      gg.v[i] = fma(p * y, y, gg.v[i]);
    }
  }
  sums[0] = static_cast<double>(top) + log_positive(all);
  sums[1] = mean_b;
  sums[2] = mean_g;
  sums[3] = total(bb) / all;
  sums[4] = total(bg) / all;
  sums[5] = total(gg) / all;
}
