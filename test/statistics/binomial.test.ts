import { describe, expect, test } from 'vitest';
import { binomial, multinomial } from '../../lib/statistics/binomial.js';
import { Random } from '../../lib/statistics/random.js';

/** Probabilities of 0..n successes by the recursion of their definition. */
function probabilities(n: number, p: number): Float64Array {
  const all = new Float64Array(n + 1);
  all[0] = (1 - p) ** n;
  for (let k = 1; k <= n; k++) all[k] = (all[k - 1]! * (n - k + 1) * p) / (k * (1 - p));
  return all;
}

/** Chi-square of counts against expectations, with bins of fewer than 5 expected thrown together. */
function chiSquare(counts: Float64Array, expected: Float64Array): { value: number; freedom: number } {
  let [value, bins, restCount, restExpected] = [0, 0, 0, 0];
  for (let k = 0; k < counts.length; k++) {
    if (expected[k]! < 5) {
      restCount += counts[k]!;
      restExpected += expected[k]!;
    } else {
      value += (counts[k]! - expected[k]!) ** 2 / expected[k]!;
      bins++;
    }
  }
  if (restExpected > 0) value += (restCount - restExpected) ** 2 / Math.max(restExpected, 1);
  return { value, freedom: bins };
}

describe('binomial draws', () => {
  test.each([
    [1, 0.5],
    [7, 0.1],
    [40, 0.24],
    [40, 0.26],
    [100, 0.3],
    [100, 0.5],
    [100, 0.9],
    [300, 0.05],
    [1000, 0.011],
  ])('of %i trials with probability %f have the frequencies of the distribution', (n, p) => {
    const random = new Random(n, Math.round(1000 * p));
    const draws = 60_000;
    const counts = new Float64Array(n + 1);
    for (let i = 0; i < draws; i++) counts[binomial(random, n, p)]!++;
    const expected = probabilities(n, p).map((probability) => probability * draws);
    const { value, freedom } = chiSquare(counts, expected);
    expect(value).toBeLessThan(freedom + 6 * Math.sqrt(2 * freedom));
  });

  test('of millions of trials have mean and variance', () => {
    const random = new Random(5);
    const [n, p, draws] = [5_000_000, 0.3, 20_000];
    const values = Array.from({ length: draws }, () => binomial(random, n, p));
    const mean = values.reduce((a, b) => a + b) / draws;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / draws;
    expect(Math.abs(mean - n * p)).toBeLessThan(6 * Math.sqrt((n * p * (1 - p)) / draws));
    expect(Math.abs(variance / (n * p * (1 - p)) - 1)).toBeLessThan(6 * Math.sqrt(2 / draws));
  });

  test('at the ends are certain', () => {
    const random = new Random(1);
    expect([binomial(random, 0, 0.5), binomial(random, 9, 0), binomial(random, 9, 1)]).toEqual([0, 0, 9]);
  });
});

test('multinomial draws add up, leave empty classes empty and have the covariances of the distribution', () => {
  const random = new Random(8);
  const sizes = Uint32Array.of(500, 0, 300, 200);
  const sums = new Float64Array(4);
  let product = 0;
  const rounds = 20_000;
  for (let r = 0; r < rounds; r++) {
    const counts = new Uint32Array(4);
    multinomial(random, 1000, sizes, counts);
    expect(counts.reduce((a, b) => a + b)).toBe(1000);
    for (let i = 0; i < 4; i++) sums[i]! += counts[i]!;
    product += (counts[0]! - 500) * (counts[2]! - 300);
  }
  expect(sums[1]).toBe(0);
  for (const [i, size] of [...sizes].entries()) expect(Math.abs(sums[i]! / rounds - size)).toBeLessThan(1);
  // -n p q = -1000 * 0.5 * 0.3
  expect(Math.abs(product / rounds + 150)).toBeLessThan(15);
});
