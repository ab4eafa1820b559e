import { describe, expect, it } from 'vitest';
import { chordGap, chordTest } from '../../lib/sweep/chord.js';
import { nestedBits, randomBits } from './outcomes.js';
import { averageShift, grid, imagenet } from './published.js';

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
    expect(result).toMatchObject({ aboveChord: false, linearlyConnected: false });
    for (const { value, interval } of [result.minimum, result.interiorGain!]) {
      expect(interval.lower).toBeLessThan(value);
      expect(interval.upper).toBeGreaterThan(value);
      expect(interval.upper).toBeLessThan(0);
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
    expect((interval.upper - interval.lower) / (2 * 1.96 * error)).toBeCloseTo(1, 1);
    // The interior lies far above the chord: the ends, where the gap is 0, are lowest in every replicate.
    expect(minimum.value).toBe(0);
    expect(minimum.interval.lower).toBeCloseTo(0, 12);
    expect(minimum.interval.upper).toBeCloseTo(0, 12);
  });

  it('calls models connected only where the data rule a larger barrier out', () => {
    const alphas = Float64Array.of(0, 0.5, 1);
    const connected = (probabilities: number[], columns: number, tolerance?: number): boolean =>
      chordTest(alphas, [randomBits(probabilities, columns, 4)], {
        seed: 5,
        ...(tolerance !== undefined && { tolerance }),
      }).linearlyConnected;
    expect(connected([0.6, 0.7, 0.6], 2000)).toBe(true);
    expect(connected([0.6, 0.3, 0.6], 2000)).toBe(false);
    expect(connected([0.6, 0.3, 0.6], 2000, 0.4)).toBe(true);
    // On the chord, but 40 samples could hide a barrier of 2 points.
    expect(chordTest(alphas, [randomBits([0.6, 0.6, 0.6], 40, 9)], { seed: 5 }).linearlyConnected).toBe(
      false,
    );
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
