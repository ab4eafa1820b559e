/** Coefficients B_2k / (2k (2k - 1)) of Stirling's series, from the Bernoulli numbers. */
const stirling = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156];

/** log Gamma(x) for x > 0: Stirling's series from 12 on, where its error is below 1e-16, and the recurrence below. */
export function logGamma(x: number): number {
  let shift = 1;
  let z = x;
  for (; z < 12; z++) shift *= z;
  let series = 0;
  for (let k = stirling.length - 1; k >= 0; k--) series = series / (z * z) + stirling[k]!;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series / z - Math.log(shift);
}

/**
 * Regularised incomplete beta function I_x(a, b), a, b > 0, x in [0, 1]: the continued fraction of Abramowitz
 * and Stegun 26.5.8 by Lentz's method, on the side of the mean where it converges.
 */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  // The fraction never vanishes on this side, but a denominator in between may.
  const tiny = 1e-300;
  const away = (value: number): number => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  // The number of terms grows as the square root of a + b.
  for (let m = 1; m <= 100_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return Math.min(1, (front * fraction) / a);
}

/** The x at which I_x(a, b) = p, by bisection: I is increasing, and 200 halvings reach neighbouring doubles. */
export function inverseIncompleteBeta(p: number, a: number, b: number): number {
  return bisect((x) => incompleteBeta(x, a, b) < p, 0, 1);
}

/** Complementary error function for x >= 0: the series of erf below 2, the continued fraction of A&S 7.1.14 above. */
export function erfc(x: number): number {
  const square = x * x;
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let k = 1; Math.abs(term) > 1e-17 * sum; k++) {
      term *= (2 * square) / (2 * k + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-square) * sum;
  }
  let fraction = 0;
  for (let k = 120; k > 0; k--) fraction = k / 2 / (x + fraction);
  return Math.exp(-square) / Math.sqrt(Math.PI) / (x + fraction);
}

/** The x >= 0 at which erfc(x) = p, for p from 1e-300 to 1. */
export function inverseErfc(p: number): number {
  return bisect((x) => erfc(x) > p, 0, 27);
}

/** Where `below` turns from true to false between two ends. */
function bisect(below: (x: number) => boolean, from: number, to: number): number {
  let [low, high] = [from, to];
  for (let i = 0; i < 200; i++) {
    const middle = low + (high - low) / 2;
    if (middle === low || middle === high) break;
    if (below(middle)) low = middle;
    else high = middle;
  }
  return low + (high - low) / 2;
}
