// One sample at many alphas: its two rows of logits are read once, everything else stays in the L1 cache.

// z0 and z1 - z0 with the label's lane out of the race, padded to whole groups with classes that never win.
// Returns the largest |z1 - z0| of all classes, NaN aside.
inline float split_row(const float* z0, const float* z1, size_t classes, int32_t label, float* base,
                       float* delta) {
  const auto size_of = [](auto v) { return v < 0 ? -v : v; };
  Group largest = {};
  size_t c = 0;
  for (; c + kGroup <= classes; c += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      const size_t at = c + g * kLanes;
      const Vf from = load_floats(z0 + at), way = load_floats(z1 + at) - from;
      store_floats(base + at, from);
      store_floats(delta + at, way);
      largest.v[g] = larger(size_of(way), largest.v[g]);
    }
  }
  float most = maximum(largest);
  for (; c < classes; c++) {
    base[c] = z0[c];
    delta[c] = z1[c] - z0[c];
    most = size_of(delta[c]) > most ? size_of(delta[c]) : most;
  }
  const float never = -__builtin_inff();
  for (; c < whole_groups(classes); c++) base[c] = never, delta[c] = 0;
  base[label] = never;
  delta[label] = 0;
  return most;
}

// The logits of one sample, split_row's.
struct MetricsRow {
  const float *base, *delta;
  const float *growth, *shrink;  // e^(step delta) and e^(-step delta), where runs are used
  size_t padded;
};

WM_FORCE_INLINE Vf logits_at(const MetricsRow& row, float alpha, size_t at) {
  return fma(broadcast<Vf>(alpha), load_floats(row.delta + at), load_floats(row.base + at));
}

// The lowest class among those whose logit is `value`; logits(c) gives those from class c on.
template <class Logits>
WM_FORCE_INLINE int32_t first_of(Logits logits, float value, size_t padded) {
  for (size_t c = 0; c < padded; c += kGroup) {
    uint32_t equal = 0;
    for (size_t g = 0; g < kGroupVectors; g++) {
      const Vi is = reinterpret_cast<Vi>(logits(c + g * kLanes) == broadcast<Vf>(value));
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

// Whom the label loses to is found only where it loses.
template <bool kLost>
WM_FORCE_INLINE Contest contest_at(const MetricsRow& row, float alpha, float own) {
  Group max;
  Vi above[kGroupVectors] = {}, reaching[kGroupVectors] = {};
  for (size_t g = 0; g < kGroupVectors; g++) max.v[g] = broadcast<Vf>(-__builtin_inff());
  for (size_t c = 0; c < row.padded; c += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      const Vf v = logits_at(row, alpha, c + g * kLanes);
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

// All of a sample at one alpha but the sums of exponentials.
inline SampleSoftmax contest_of(const MetricsRow& row, float alpha, float own, bool correct, int32_t label) {
  const Contest contest = correct ? contest_at<false>(row, alpha, own) : contest_at<true>(row, alpha, own);
  uint32_t rank = contest.above;
  for (int32_t c = 0; contest.level && c < label; c++) {
    rank += fma_one(alpha, row.delta[c], row.base[c]) == own;
  }
  SampleSoftmax sample;
  sample.own = own;
  sample.other = contest.highest;
  const float top = top_of(sample);
  sample.own_exp = exp_nonpositive(own - top);
  sample.other_exp = correct ? 0 : exp_nonpositive(contest.highest - top);
  sample.rank = rank;
  const auto logits = [&](size_t c) { return logits_at(row, alpha, c); };
  sample.first = correct ? label : first_of(logits, contest.highest, row.padded);
  return sample;
}

// The sums of the other classes' exponentials and of their squares at one alpha.
inline void sum_one(const MetricsRow& row, float alpha, SampleSoftmax& sample) {
  const float top = top_of(sample);
  Group sum = {}, squares = {};
  for (size_t c = 0; c < row.padded; c += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      const Vf e = exp_nonpositive(logits_at(row, alpha, c + g * kLanes) - broadcast<Vf>(top));
      sum.v[g] = sum.v[g] + e;
      squares.v[g] = fma(e, e, squares.v[g]);
    }
  }
  sample.others = total(sum);
  sample.squares = total(squares);
}

// Those of a run of evenly spaced alphas (wisemerge/alpha_runs.h).
inline void sum_run(const MetricsRow& row, const float* alphas, SampleSoftmax* samples) {
  const float alpha = alphas[kRunSide], top = top_of(samples[kRunSide]);
  Group sum[kRunAlphas] = {}, squares[kRunAlphas] = {};
  for (size_t g = 0; g < kGroupVectors; g++) {
    const auto add = [&](size_t i, Vf e) {
      sum[i].v[g] = sum[i].v[g] + e;
      squares[i].v[g] = fma(e, e, squares[i].v[g]);
    };
    for (size_t at = g * kLanes; at < row.padded; at += kGroup) {
      const Vf x = logits_at(row, alpha, at) - broadcast<Vf>(top);
      const Vf middle = exp_nonpositive(larger(x, broadcast<Vf>(kRunLeast)));
      const Vf growth = load_floats(row.growth + at), shrink = load_floats(row.shrink + at);
      add(kRunSide, middle);
      Vf up = middle, down = middle;
      for (size_t i = 1; i <= kRunSide; i++) {
        up = up * growth, down = down * shrink;
        add(kRunSide + i, up);
        add(kRunSide - i, down);
      }
    }
  }
  for (size_t i = 0; i < kRunAlphas; i++) {
    samples[i].others = total(sum[i]);
    samples[i].squares = total(squares[i]);
    rescale(samples[i], top, top_of(samples[i]));
  }
}

// `correct[k]` says whether the label is the argmax at alphas[k]; `scratch` has head_scratch(classes) floats.
void head_metrics(const float* z0, const float* z1, size_t classes, int32_t label, const float* alphas,
                  const AlphaRun* runs, size_t run_count, float step, const uint8_t* correct, float* scratch,
                  SampleMetrics* out) {
  const size_t padded = whole_groups(classes);
  float *const base = scratch, *const delta = base + padded, *const growth = delta + padded,
               *const shrink = growth + padded;
  const float largest = split_row(z0, z1, classes, label, base, delta);
  const MetricsRow row = {base, delta, growth, shrink, padded};
  const bool together = within_reach(step, largest);
  for (size_t c = 0; together && c < padded; c += kLanes) {
    const Vf power = load_floats(delta + c) * broadcast<Vf>(step);
    store_floats(growth + c, exp_nonpositive(power));
    store_floats(shrink + c, exp_nonpositive(-power));
  }
  for (size_t r = 0; r < run_count; r++) {
    const AlphaRun run = runs[r];
    SampleSoftmax samples[kRunAlphas];
    const float* const at = alphas + run.first;
    for (uint32_t i = 0; i < run.count; i++) {
      const float own = fma_one(at[i], z1[label] - z0[label], z0[label]);
      samples[i] = contest_of(row, at[i], own, correct[run.first + i], label);
      if (run.count == 1 || !together) sum_one(row, at[i], samples[i]);
    }
    if (run.count > 1 && together) sum_run(row, at, samples);
    for (uint32_t i = 0; i < run.count; i++) {
      out[run.first + i] = sample_metrics(samples[i], label, classes, correct[run.first + i]);
    }
  }
}

// Gives { f, df/db, df/dg, d2f/db2, d2f/dbdg, d2f/dg2 } of one sample (WmHeadMoments). Logits are taken
// relative to the label's: a constant added to all of them changes nothing. `scratch` has
// head_scratch(classes) floats.
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
