// The softmax of attention, one row of one block of keys at a time (Milakov and Gimelshein, 2018).

// Turns `count` scores, a whole number of groups, into exponentials relative to the largest score so far: in
// *max and, with its sum, in *sum. Scores that are left out are -infinity; a NaN or +infinity among the
// others makes the sum NaN. Gives the factor by which what was summed up before shrinks: 1 where nothing
// larger has come.
float attention_row(float* scores, size_t count, float scale, float* max, float* sum) {
  const Vf factor = broadcast<Vf>(scale);
  Group top;
  uint32_t undefined = 0;
  for (size_t g = 0; g < kGroupVectors; g++) top.v[g] = broadcast<Vf>(-__builtin_inff());
  for (size_t j = 0; j < count; j += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      const Vf score = load_floats(scores + j + g * kLanes) * factor;
      store_floats(scores + j + g * kLanes, score);
      top.v[g] = larger(score, top.v[g]);
      undefined |= lane_mask(reinterpret_cast<Vi>(score != score));
    }
  }
  const float before = *max, here = maximum(top), now = here > before ? here : before;
  if (undefined != 0 || now == __builtin_inff()) {
    *sum = __builtin_nanf("");
    return 1;
  }
  if (now == -__builtin_inff()) {
    for (size_t j = 0; j < count; j++) scores[j] = 0;
    return 1;
  }
  Group total_of = {};
  for (size_t j = 0; j < count; j += kGroup) {
    for (size_t g = 0; g < kGroupVectors; g++) {
      const Vf score = load_floats(scores + j + g * kLanes), none = broadcast<Vf>(-__builtin_inff());
      // The exponential alone would leave e^-87 of what is left out.
      const Vf e = score == none ? Vf{} : exp_nonpositive(score - broadcast<Vf>(now));
      store_floats(scores + j + g * kLanes, e);
      total_of.v[g] = total_of.v[g] + e;
    }
  }
  const float shrink = exp_nonpositive(before - now);
  *max = now;
  *sum = fma_one(*sum, shrink, total(total_of));
  return shrink;
}
