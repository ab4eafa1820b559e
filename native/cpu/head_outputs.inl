// One sample's outputs at both ends and at one alpha between them (WmHeadOutputs).

// Padding that wins nothing and is the same at both ends, so that its differences are 0 and not NaN.
inline constexpr float kNoLogit = -0x1p126f;

struct Winner {
  int32_t first;  // the lowest class with the highest logit
  float top, second;
};

inline Winner winner_of(const float* z, size_t padded) {
  Group first, second;
  for (size_t g = 0; g < kGroupVectors; g++) first.v[g] = second.v[g] = broadcast<Vf>(kNoLogit);
  for (size_t c = 0; c < padded; c += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      const Vf v = load_floats(z + c + g * kLanes);
      const Vf lower = v > first.v[g] ? first.v[g] : v;
      second.v[g] = larger(lower, second.v[g]);
      first.v[g] = larger(v, first.v[g]);
    }
  }
  float tops[kGroup], seconds[kGroup];
  __builtin_memcpy(tops, &first, sizeof(tops));
  __builtin_memcpy(seconds, &second, sizeof(seconds));
  float top = tops[0], runner_up = seconds[0];
  for (size_t i = 1; i < kGroup; i++) {
    const float lower = tops[i] > top ? top : tops[i];
    top = tops[i] > top ? tops[i] : top;
    runner_up = lower > runner_up ? lower : runner_up;
    runner_up = seconds[i] > runner_up ? seconds[i] : runner_up;
  }
  return {first_of([&](size_t c) { return load_floats(z + c); }, top, padded), top, runner_up};
}

inline float exponential_sum(const float* z, float top, size_t padded) {
  Group sum = {};
  for (size_t c = 0; c < padded; c += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      sum.v[g] = sum.v[g] + exp_nonpositive(load_floats(z + c + g * kLanes) - broadcast<Vf>(top));
    }
  }
  return total(sum);
}

inline void put_model(double* out, const Winner& winner, size_t classes, double sum) {
  out[kOutputPredicted] = winner.first;
  // One class has no second.
  out[kOutputMargin] = classes > 1 ? static_cast<double>(winner.top) - winner.second : 0;
  out[kOutputConfidence] = 1 / sum;
}

// `scratch` has 3 * whole groups of floats, `out` kOutputColumns numbers.
void head_outputs(const float* z0, const float* z1, size_t classes, int32_t label, double alpha,
                  float* scratch, double* out) {
  const size_t padded = whole_groups(classes);
  float *const a = scratch, *const b = a + padded, *const mixed = b + padded;
  for (size_t c = 0; c < padded; c++) {
    a[c] = c < classes ? z0[c] : kNoLogit;
    b[c] = c < classes ? z1[c] : kNoLogit;
  }
  const float at = static_cast<float>(alpha);
  for (size_t c = 0; c < padded; c++) mixed[c] = at == 1 ? b[c] : fma_one(at, b[c] - a[c], a[c]);
  const Winner merged = winner_of(mixed, padded), zeroshot = winner_of(a, padded),
               finetuned = winner_of(b, padded);
  put_model(out + kOutputMerged, merged, classes, exponential_sum(mixed, merged.top, padded));

  // Both ends' exponentials, and the sums of e0 (z0 - z1) and e1 (z1 - z0) that the divergences need.
  Group sum0 = {}, sum1 = {}, cross0 = {}, cross1 = {};
  for (size_t c = 0; c < padded; c += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      const size_t i = c + g * kLanes;
      const Vf x = load_floats(a + i), y = load_floats(b + i), difference = x - y;
      const Vf e0 = exp_nonpositive(x - broadcast<Vf>(zeroshot.top));
      const Vf e1 = exp_nonpositive(y - broadcast<Vf>(finetuned.top));
      sum0.v[g] = sum0.v[g] + e0;
      sum1.v[g] = sum1.v[g] + e1;
      cross0.v[g] = fma(e0, difference, cross0.v[g]);
      cross1.v[g] = cross1.v[g] - e1 * difference;
      store_floats(a + i, e0);
      store_floats(b + i, e1);
    }
  }
  const double all0 = total(sum0), all1 = total(sum1);
  put_model(out + kOutputZeroshot, zeroshot, classes, all0);
  put_model(out + kOutputFinetuned, finetuned, classes, all1);
  const double log0 = static_cast<double>(zeroshot.top) + log_positive(all0);
  const double log1 = static_cast<double>(finetuned.top) + log_positive(all1);
  // Rounding can carry the divergence of equal distributions just below 0.
  const double kl0 = static_cast<double>(total(cross0)) / all0 - log0 + log1;
  const double kl1 = static_cast<double>(total(cross1)) / all1 - log1 + log0;
  out[kOutputDivergence0] = kl0 > 0 ? kl0 : 0;
  out[kOutputDivergence1] = kl1 > 0 ? kl1 : 0;

  const Vf share0 = broadcast<Vf>(static_cast<float>((1 - alpha) / all0));
  const Vf share1 = broadcast<Vf>(static_cast<float>(alpha / all1));
  for (size_t c = 0; c < padded; c += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      const size_t i = c + g * kLanes;
      store_floats(mixed + i, fma(share1, load_floats(b + i), share0 * load_floats(a + i)));
    }
  }
  // Padding has next to no probability, but where classes have none either it must not win.
  for (size_t c = classes; c < padded; c++) mixed[c] = -1;
  out[kOutputEnsemblePredicted] = winner_of(mixed, padded).first;
  out[kOutputLabelLog0] = static_cast<double>(z0[label]) - log0;
  out[kOutputLabelLog1] = static_cast<double>(z1[label]) - log1;
}
