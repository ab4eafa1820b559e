import type { Random } from './random.js';
import { logGamma } from './special.js';

/** Below this expected count successes are drawn one gap after another. */
const fewSuccesses = 10;

/**
 * A draw from the binomial distribution of `n` trials with probability `p`. Few expected successes: by the
 * geometric gaps between them (Devroye, "Non-Uniform Random Variate Generation", 1986, section X.4.3). Many: by
 * transformed rejection (Hörmann, "The generation of binomial random variates", 1993, algorithm BTRS), whose
 * cost does not depend on `n`.
 */
export function binomial(random: Random, n: number, p: number): number {
  if (n === 0 || p <= 0) return 0;
  if (p >= 1) return n;
  if (p > 0.5) return n - binomial(random, n, 1 - p);
  return n * p < fewSuccesses ? byGaps(random, n, p) : byRejection(random, n, p);
}

function byGaps(random: Random, n: number, p: number): number {
  const logFailure = Math.log1p(-p);
  let successes = 0;
  let trial = 0;
  for (;;) {
    // 1 - uniform() is in (0, 1], so its logarithm is finite.
    trial += Math.floor(Math.log(1 - random.uniform()) / logFailure) + 1;
    if (trial > n) return successes;
    successes++;
  }
}

function byRejection(random: Random, n: number, p: number): number {
  const q = 1 - p;
  const deviation = Math.sqrt(n * p * q);
  const b = 1.15 + 2.53 * deviation;
  const a = -0.0873 + 0.0248 * b + 0.01 * p;
  const center = n * p + 0.5;
  const accepted = 0.92 - 4.2 / b;
  const scale = (2.83 + 5.1 / b) * deviation;
  const mode = Math.floor((n + 1) * p);
  // Most draws are accepted before it is needed.
  let atMode: number | undefined;
  for (;;) {
    const u = random.uniform() - 0.5;
    const v = random.uniform();
    const distance = 0.5 - Math.abs(u);
    const k = Math.floor(((2 * a) / distance + b) * u + center);
    if (!(k >= 0 && k <= n)) continue;
    if (distance >= 0.07 && v <= accepted) return k;
    const height = (v * scale) / (a / (distance * distance) + b);
    atMode ??= logGamma(mode + 1) + logGamma(n - mode + 1);
    const logRatio = atMode - logGamma(k + 1) - logGamma(n - k + 1) + (k - mode) * Math.log(p / q);
    if (Math.log(height) <= logRatio) return k;
  }
}

/**
 * How often each class occurs in `total` draws with replacement from a population with `sizes` members of each
 * class: a multinomial draw, class by class, each binomial given those before it. Adds to `counts`.
 */
export function multinomial(random: Random, total: number, sizes: Uint32Array, counts: Uint32Array): void {
  let members = sizes.reduce((sum, size) => sum + size, 0);
  let left = total;
  for (let i = 0; i < sizes.length && left > 0; i++) {
    const drawn = binomial(random, left, sizes[i]! / members);
    counts[i]! += drawn;
    left -= drawn;
    members -= sizes[i]!;
  }
}
