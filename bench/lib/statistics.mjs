// Medians with bootstrap intervals. Timings on a shared machine have long tails, which means would follow.

export function median(values) {
  return quantile(values, 0.5);
}

/** Quantile `q` in [0, 1], linear between neighbours. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

/** 95 % percentile-bootstrap interval of the median; undefined for fewer than three values. Always the same for
 * the same values. */
export function medianInterval(values, rounds = 4000) {
  if (values.length < 3) return undefined;
  const random = generator(1);
  const medians = Array.from({ length: rounds }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)])),
  );
  return [quantile(medians, 0.025), quantile(medians, 0.975)];
}

/** Uniform numbers in [0, 1): mulberry32. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Repetitions whose calibrator took more than 1.5 times its median were disturbed; they say nothing about the
 * subject. Gives the indices of the others. */
export function undisturbed(calibratorSeconds) {
  const limit = 1.5 * median(calibratorSeconds);
  return [...calibratorSeconds.keys()].filter((i) => calibratorSeconds[i] <= limit);
}
