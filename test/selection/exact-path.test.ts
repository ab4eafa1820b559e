import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CorrectIntervals } from '../../lib/eval/correct-intervals.js';
import { accuracyPath } from '../../lib/selection/exact-path.js';
import { sortedOrder } from '../../lib/statistics/sort.js';
import {
  type AlphaInterval,
  maximum,
  minimum,
  plateau,
  representative,
  type StepFunction,
  subjectTo,
  valueAt,
  weightedMean,
} from '../../lib/statistics/step-function.js';
import { uniforms } from '../support/outcomes.js';

type Sample = readonly [lo: number, hi: number, open: number];

function intervalsOf(
  samples: readonly Sample[],
  domain: readonly [number, number] = [0, 1],
): CorrectIntervals {
  return {
    domain,
    lo: Float64Array.from(samples, ([lo]) => lo),
    hi: Float64Array.from(samples, ([, hi]) => hi),
    open: Uint8Array.from(samples, ([, , open]) => open),
  };
}

const holds = ([lo, hi, open]: Sample, alpha: number): boolean =>
  (open & 1 ? lo < alpha : lo <= alpha) && (open & 2 ? alpha < hi : alpha <= hi);

// Eighths, so that ends coincide with one another and with the domain; halves of a step lie between all ends.
const end = fc.integer({ min: -2, max: 10 }).map((value) => value / 8);
const anyEnd = fc.oneof(
  { weight: 8, arbitrary: end },
  { weight: 1, arbitrary: fc.constantFrom(-Infinity, Infinity, Number.NaN, -0) },
);
const sample = fc.tuple(anyEnd, anyEnd, fc.integer({ min: 0, max: 3 }));
const sampleList = fc.array(sample, { minLength: 1, maxLength: 12 });
const probes = Array.from({ length: 17 }, (_, k) => k / 16);

describe('the exact path', () => {
  it('is the weighted share of correct samples at every alpha, ends and pieces between', () => {
    const weight = fc.constantFrom(0, 1, 2, 0.1, 1 / 3);
    fc.assert(
      fc.property(fc.array(fc.tuple(sample, weight), { minLength: 1, maxLength: 12 }), (weighted) => {
        const samples = weighted.map(([one]) => one);
        const weights = Float64Array.from(weighted, ([, w]) => w);
        const total = weights.reduce((a, b) => a + b);
        fc.pre(total > 0);
        const path = accuracyPath(intervalsOf(samples), { weights });
        for (const alpha of probes) {
          const correct = samples.reduce((sum, one, i) => (holds(one, alpha) ? sum + weights[i]! : sum), 0);
          expect(valueAt(path, alpha)).toBeCloseTo(correct / total, 13);
        }
        expect(path.alphas[0]).toBe(0);
        expect(path.alphas.at(-1)).toBe(1);
        expect(path.after).toHaveLength(path.alphas.length - 1);
        expect(path.alphas.every((alpha, k) => k === 0 || alpha > path.alphas[k - 1]!)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('counts a listed sample as often as it is listed', () => {
    const samples: Sample[] = [
      [0, 0.5, 0],
      [0.25, 1, 0],
      [0.75, 1, 0],
    ];
    const intervals = intervalsOf(samples);
    const path = accuracyPath(intervals, { samples: Uint32Array.of(2, 0, 0, 0) });
    expect([0.1, 0.6, 0.8].map((alpha) => valueAt(path, alpha))).toEqual([0.75, 0, 0.25]);
    const weights = Float64Array.of(0.5, 0.5, 1);
    expect(valueAt(accuracyPath(intervals, { weights }), 0.8)).toBe(0.75);
  });

  it('works on a single sample, a single point and beyond [0, 1]', () => {
    const always = accuracyPath(intervalsOf([[-Infinity, Infinity, 3]], [-0.5, 1.5]));
    expect(always).toEqual({
      alphas: Float64Array.of(-0.5, 1.5),
      at: Float64Array.of(1, 1),
      after: Float64Array.of(1),
    });
    const point = accuracyPath(
      intervalsOf(
        [
          [0.3, 0.3, 0],
          [0.3, 0.9, 1],
        ],
        [0.3, 0.3],
      ),
    );
    expect(point.at).toEqual(Float64Array.of(0.5));
    expect(maximum(point).intervals).toEqual([{ from: 0.3, to: 0.3, fromIncluded: true, toIncluded: true }]);
    expect(() => valueAt(point, 0.4)).toThrow(expect.objectContaining({ code: 'ERR_ALPHA_RANGE' }));
  });

  it('does not lose digits over many uneven weights', () => {
    const uniform = uniforms(11);
    const count = 20_000;
    const samples = Array.from({ length: count }, (): Sample => [uniform() / 2, 0.5 + uniform() / 2, 0]);
    const weights = Float64Array.from({ length: count }, () => 10 ** (6 * uniform() - 3));
    const path = accuracyPath(intervalsOf(samples), { weights });
    // Everything has begun and nothing ended at 0.5; everything has ended but what reaches the end at 1.
    expect(Math.abs(valueAt(path, 0.5) - 1)).toBeLessThan(1e-14);
    expect(Math.abs(path.at.at(-1)!)).toBeLessThan(1e-16);
  });

  it('takes 10^6 samples in seconds', () => {
    const uniform = uniforms(12);
    const count = 1_000_000;
    const lo = Float64Array.from({ length: count }, () => uniform() - 0.5);
    const hi = Float64Array.from(lo, (value) => value + uniform());
    const begin = performance.now();
    const path = accuracyPath({ domain: [0, 1], lo, hi, open: new Uint8Array(count) });
    expect(performance.now() - begin).toBeLessThan(10_000);
    let correct = 0;
    for (let i = 0; i < count; i++) if (lo[i]! <= 0.4 && 0.4 <= hi[i]!) correct++;
    expect(valueAt(path, 0.4)).toBe(correct / count);
  });

  it('refuses no samples, weights that are none, and ends of other lengths', () => {
    const two = intervalsOf([
      [0, 1, 0],
      [0, 1, 0],
    ]);
    const data = expect.objectContaining({ code: 'ERR_DATA' });
    const mismatch = expect.objectContaining({ code: 'ERR_DATA_MISMATCH' });
    expect(() => accuracyPath(intervalsOf([]))).toThrow(data);
    expect(() => accuracyPath(two, { samples: new Uint32Array(0) })).toThrow(data);
    expect(() => accuracyPath(two, { weights: Float64Array.of(0, 0) })).toThrow(data);
    expect(() => accuracyPath(two, { weights: Float64Array.of(1, -1) })).toThrow(data);
    expect(() => accuracyPath(two, { weights: Float64Array.of(1, Number.NaN) })).toThrow(data);
    expect(() => accuracyPath(two, { weights: Float64Array.of(1) })).toThrow(mismatch);
    expect(() => accuracyPath(two, { samples: Uint32Array.of(2) })).toThrow(mismatch);
    expect(() => accuracyPath({ ...two, open: new Uint8Array(1) })).toThrow(mismatch);
    expect(() => accuracyPath({ ...two, domain: [1, 0] })).toThrow(
      expect.objectContaining({ code: 'ERR_ALPHA_RANGE' }),
    );
  });
});

describe('sorting', () => {
  it('orders doubles of all signs and sizes, equal ones by index', () => {
    const uniform = uniforms(13);
    for (const count of [0, 1, 100, 5000]) {
      const values = Float64Array.from({ length: count }, (_, i) => {
        const special = [0, -0, Infinity, -Infinity, 5e-324, -5e-324, 1, -1];
        return i % 3 === 0 ? special[(i / 3) % 8]! : (uniform() - 0.5) * 10 ** (600 * uniform() - 300);
      });
      const expected = [...values.keys()].sort((i, j) => {
        if (values[i]! < values[j]!) return -1;
        return values[i]! > values[j]! ? 1 : i - j;
      });
      expect([...sortedOrder(values)]).toEqual(expected);
    }
  });
});

describe('paths over several sets', () => {
  const pathOf = (samples: readonly Sample[]): StepFunction => accuracyPath(intervalsOf(samples));

  it('are the mean and the minimum at every alpha', () => {
    fc.assert(
      fc.property(fc.array(sampleList, { minLength: 1, maxLength: 4 }), (lists) => {
        const paths = lists.map(pathOf);
        const weights = paths.map((_, k) => k + 1);
        const total = weights.reduce((a, b) => a + b);
        const mean = weightedMean(paths, weights);
        const worst = minimum(paths);
        for (const alpha of probes) {
          const values = paths.map((path) => valueAt(path, alpha));
          const expected = values.reduce((sum, value, k) => sum + weights[k]! * value, 0) / total;
          expect(valueAt(mean, alpha)).toBeCloseTo(expected, 13);
          expect(valueAt(worst, alpha)).toBe(Math.min(...values));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('must share their domain', () => {
    const other = accuracyPath(intervalsOf([[0, 1, 0]], [0, 2]));
    const mismatch = expect.objectContaining({ code: 'ERR_DATA_MISMATCH' });
    expect(() => minimum([pathOf([[0, 1, 0]]), other])).toThrow(mismatch);
    expect(() => minimum([])).toThrow(mismatch);
    expect(() => weightedMean([other], [0])).toThrow(mismatch);
  });

  it('have as maximum every alpha that attains it, and no other', () => {
    fc.assert(
      fc.property(sampleList, fc.constantFrom(0, 0.1, 0.25, 1), (samples, within) => {
        const path = pathOf(samples);
        const best = Math.max(...probes.map((alpha) => valueAt(path, alpha)));
        expect(maximum(path).value).toBeCloseTo(best, 13);
        const inAny = (intervals: readonly AlphaInterval[], alpha: number): boolean =>
          intervals.some(({ from, to, fromIncluded, toIncluded }) =>
            holds([from, to, (fromIncluded ? 0 : 1) | (toIncluded ? 0 : 2)], alpha),
          );
        const [top, near] = [maximum(path).intervals, plateau(path, within)];
        for (const alpha of probes) {
          expect(inAny(top, alpha)).toBe(valueAt(path, alpha) >= best - 1e-12);
          expect(inAny(near, alpha)).toBe(valueAt(path, alpha) >= best - within - 1e-12);
        }
        // Joined: between two intervals there is an alpha of neither.
        for (const [k, { from, fromIncluded }] of near.entries()) {
          const before = near[k - 1];
          if (before) expect(before.to < from || !(before.toIncluded || fromIncluded)).toBe(true);
        }
        const alpha = representative(top);
        expect(inAny(top, alpha)).toBe(true);
        expect(valueAt(path, alpha)).toBeCloseTo(best, 13);
      }),
      { numRuns: 500 },
    );
  });

  it('have a maximum subject to a constraint, or none', () => {
    fc.assert(
      fc.property(sampleList, sampleList, fc.constantFrom(0, 0.25, 0.5, 0.9, 1), (a, b, atLeast) => {
        const [objective, constraint] = [pathOf(a), pathOf(b)];
        const feasible = probes.filter((alpha) => valueAt(constraint, alpha) >= atLeast);
        if (feasible.length === 0) {
          expect(() => subjectTo(objective, constraint, atLeast)).toThrow(
            expect.objectContaining({ code: 'ERR_NO_ALPHA', hint: expect.stringContaining('at most') }),
          );
          return;
        }
        const best = maximum(subjectTo(objective, constraint, atLeast));
        expect(best.value).toBeCloseTo(Math.max(...feasible.map((alpha) => valueAt(objective, alpha))), 13);
        expect(valueAt(constraint, representative(best.intervals))).toBeGreaterThanOrEqual(atLeast - 1e-12);
      }),
      { numRuns: 300 },
    );
  });
});

describe('the alpha of an interval', () => {
  const interval = (from: number, to: number, fromIncluded = true, toIncluded = true) => ({
    from,
    to,
    fromIncluded,
    toIncluded,
  });

  it('is the middle of the widest, the first of equal ones', () => {
    expect(representative([interval(0, 0.25), interval(0.5, 1)])).toBe(0.75);
    expect(representative([interval(0, 0.25), interval(0.5, 0.75)])).toBe(0.125);
    expect(representative([interval(0.3, 0.3)])).toBe(0.3);
  });

  it('is inside even between neighbouring doubles', () => {
    const next = 0.5 + 2 ** -53;
    expect(representative([interval(0.5, next, false, true)])).toBe(next);
    expect(representative([interval(0.5, next, true, false)])).toBe(0.5);
    expect(representative([interval(0.5, next, false, false), interval(0.1, 0.1)])).toBe(0.1);
    const none = expect.objectContaining({ code: 'ERR_NO_ALPHA' });
    expect(() => representative([interval(0.5, next, false, false)])).toThrow(none);
    expect(() => representative([])).toThrow(none);
    // A value that no double attains is no maximum.
    const path = accuracyPath(
      intervalsOf([
        [0.5, next, 3],
        [0.2, 0.4, 0],
      ]),
    );
    expect(maximum(path)).toEqual({ value: 0.5, intervals: [interval(0.2, 0.4)] });
  });
});
