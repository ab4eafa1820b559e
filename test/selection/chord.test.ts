import { describe, expect, it } from 'vitest';
import { chordGap } from '../../lib/selection/chord.js';
import { chordTest } from '../support/finished.js';
import { nestedBits, randomBits } from '../support/outcomes.js';
import { averageShift, grid, imagenet } from '../support/published.js';

describe('the chord test', () => {
  it.each([
    ['ImageNet', imagenet],
    ['shifts', averageShift],
  ] as const)('finds the published curve on %s above its chord everywhere, 0 at the ends', (_, percents) => {
    const gap = chordGap(
      grid,
      Float64Array.from(percents, (value) => value / 100),
    );
    expect(Math.min(...gap)).toBe(0);
    expect([gap[0], gap.at(-1)]).toEqual([0, 0]);
    // At .5: .817 - (.683 + .813) / 2 and .630 - (.581 + .538) / 2.
    expect(gap[10]).toBeCloseTo(percents === imagenet ? 0.069 : 0.0705, 12);
    expect(gap.subarray(1, -1).every((value) => value > 0)).toBe(true);
  });

  it('measures gap, barrier and interior gain of the mean over sets', () => {
    const alphas = Float64Array.of(-0.5, 0, 0.5, 1, 1.5);
    const sets = [nestedBits([0.9, 0.5, 0.4, 0.7, 0], 1000), nestedBits([0.9, 0.6, 0.3, 0.6, 0], 1000)];
    const result = chordTest(alphas, sets, { seed: 1, replicates: 500 });
    expect([...result.alphas]).toEqual([0, 0.5, 1]);
    // Means .55, .35, .65: the chord is at .60 in the middle.
    expect([...result.gap]).toEqual([0, expect.closeTo(-0.25, 12), 0]);
    expect(result.minimum).toMatchObject({ alpha: 0.5, value: expect.closeTo(-0.25, 12) });
    expect(result.interiorGain).toMatchObject({ alpha: 0.5, value: expect.closeTo(-0.3, 12) });
    expect(result).toMatchObject({ aboveChord: false, linearConnectivity: 'not-connected' });
    for (const { value, interval } of [result.minimum, result.interiorGain!]) {
      expect(interval!.lower).toBeLessThan(value);
      expect(interval!.upper).toBeGreaterThan(value);
      expect(interval!.upper).toBeLessThan(0);
    }
  });

  it('has intervals as wide as the closed form of a single paired difference', () => {
    const n = 2000;
    const set = randomBits([0.5, 0.7, 0.6], n, 2);
    const { interiorGain, minimum } = chordTest(Float64Array.of(0, 0.5, 1), [set], {
      seed: 3,
      replicates: 4000,
    });
    // One interior alpha, and the fine-tuned end is the better one by far: the difference of two rows.
    const [p, q] = [set.count(1) / n, set.count(2) / n];
    const covariance = set.countAnd(1, 2) / n - p * q;
    const error = Math.sqrt((p * (1 - p) + q * (1 - q) - 2 * covariance) / n);
    const { interval, value } = interiorGain!;
    expect(value).toBeCloseTo(p - q, 12);
    expect((interval!.upper - interval!.lower) / (2 * 1.96 * error)).toBeCloseTo(1, 1);
    // The interior lies far above the chord: the ends, where the gap is 0, are lowest in every replicate.
    expect(minimum.value).toBe(0);
    expect(minimum.interval!.lower).toBeCloseTo(0, 12);
    expect(minimum.interval!.upper).toBeCloseTo(0, 12);
  });

  it('says what the data rule out, a larger barrier or a smaller one, and else nothing', () => {
    const alphas = Float64Array.of(0, 0.5, 1);
    const connectivity = (probabilities: number[], columns: number, tolerance = 0.02) =>
      chordTest(alphas, [randomBits(probabilities, columns, 4)], { seed: 5, tolerance }).linearConnectivity;
    expect(connectivity([0.6, 0.7, 0.6], 2000)).toBe('connected');
    expect(connectivity([0.6, 0.3, 0.6], 2000)).toBe('not-connected');
    expect(connectivity([0.6, 0.3, 0.6], 2000, 0.4)).toBe('connected');
    // On the chord, but 40 samples could hide a barrier of 2 points; and they do not show one.
    expect(connectivity([0.6, 0.6, 0.6], 40)).toBe('undecided');
  });

  it('does not find a barrier in the noise of a flat path, however many alphas it has', () => {
    const alphas = Float64Array.from({ length: 21 }, (_, k) => k / 20);
    const flat = new Array<number>(21).fill(0.7);
    const found = Array.from(
      { length: 40 },
      (_, t) =>
        chordTest(alphas, [randomBits(flat, 400, 100 + t)], { seed: t, replicates: 300 }).linearConnectivity,
    );
    // 5 % of 40 is 2; more than 6 would have a probability of 0.3 %.
    expect(found.filter((one) => one === 'not-connected').length).toBeLessThanOrEqual(6);
    expect(found).toContain('undecided');
    const barrier = flat.map((p, k) => (k > 5 && k < 15 ? p - 0.2 : p));
    const seen = chordTest(alphas, [randomBits(barrier, 400, 3)], { seed: 1, replicates: 300 });
    expect(seen.linearConnectivity).toBe('not-connected');
  });

  it('takes samples that never differ for as many as they are: a share up to 3.7 / n may', () => {
    const alphas = Float64Array.of(0, 0.5, 1);
    const test = (columns: number, clusters?: ArrayLike<number>) =>
      chordTest(alphas, [nestedBits([1, 1, 1], columns)], {
        seed: 1,
        ...(clusters && { clusters: [clusters] }),
      });
    expect(test(5)).toMatchObject({ aboveChord: true, linearConnectivity: 'undecided' });
    expect(test(5).minimum.interval).toEqual({ lower: expect.closeTo(0.025 ** (1 / 5) - 1, 12), upper: 0 });
    expect(test(150).linearConnectivity).toBe('undecided');
    expect(test(200).linearConnectivity).toBe('connected');
    const groups = Uint32Array.from({ length: 200 }, (_, i) => i % 20);
    expect(test(200, groups).linearConnectivity).toBe('undecided');
  });

  it('does not decide by samples that all change alike, one above all', () => {
    const alphas = Float64Array.of(0, 0.5, 1);
    for (const curve of [
      [0, 1, 1],
      [1, 1, 0],
      [0, 0, 1],
      [0, 1, 0],
    ]) {
      const { linearConnectivity } = chordTest(alphas, [nestedBits(curve, 1)], { seed: 1 });
      expect(linearConnectivity).toBe('undecided');
    }
  });

  it('has no interior gain without an interior, and needs both ends', () => {
    const two = nestedBits([0.5, 0.6], 50);
    expect(chordTest(Float64Array.of(0, 1), [two], { seed: 1 }).interiorGain).toBeNull();
    const usage = expect.objectContaining({ code: 'ERR_USAGE' });
    expect(() => chordTest(Float64Array.of(0.1, 1), [two], { seed: 1 })).toThrow(usage);
    expect(() => chordTest(Float64Array.of(0, 0.9), [two], { seed: 1 })).toThrow(usage);
    expect(() => chordTest(Float64Array.of(0, 1), [], { seed: 1 })).toThrow(usage);
    expect(() => chordTest(Float64Array.of(0, 0.5, 1), [two], { seed: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_DATA_MISMATCH' }),
    );
  });
});
