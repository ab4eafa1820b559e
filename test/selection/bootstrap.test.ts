import { describe, expect, it } from 'vitest';
import {
  basicInterval,
  percentileInterval,
  quantile,
  type Resamples,
  replicateCurves,
} from '../../lib/selection/bootstrap.js';
import { accuracies, type Outcomes } from '../../lib/selection/curves.js';
import { parseRule } from '../../lib/selection/rule.js';
import { BitMatrix } from '../../lib/statistics/bits.js';
import { bootstrapSelection, resample, resampleOutcomes } from '../support/finished.js';
import { nestedBits, outcomeSet, randomBits, uniforms } from '../support/outcomes.js';

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((a, b) => a + b) / values.length;
const deviation = (values: ArrayLike<number>): number =>
  Math.sqrt(mean(Array.from(values, (value) => (value - mean(values)) ** 2)));
const column = (rows: readonly Float64Array[], k: number): number[] => rows.map((row) => row[k]!);
const curvesOfSet = (resamples: Resamples, place: number): Float64Array[] =>
  Array.from({ length: resamples.replicates }, (_, r) => replicateCurves(resamples, r)[place]!);
const ofSet = (set: BitMatrix, replicates: number, seed: number, groups?: number[]): Float64Array[] =>
  curvesOfSet(resample([set], replicates, seed, [groups]), 0);

describe('resampling', () => {
  it('has the mean and the standard error of the closed form', () => {
    const set = randomBits([0.3, 0.7, 0.71], 400, 1);
    const curves = ofSet(set, 4000, 2);
    for (const [k, p] of accuracies(set).entries()) {
      const error = Math.sqrt((p * (1 - p)) / 400);
      // Of 4000 replicates: the mean within 5 of its standard errors, the spread within 6 %.
      expect(Math.abs(mean(column(curves, k)) - p)).toBeLessThan((5 * error) / Math.sqrt(4000));
      expect(Math.abs(deviation(column(curves, k)) / error - 1)).toBeLessThan(0.06);
    }
  });

  it('draws the same samples for every alpha: nested results stay nested, equal ones equal', () => {
    for (const curve of ofSet(nestedBits([0.4, 0.5, 0.5, 0.6, 0, 1], 137), 200, 3)) {
      expect(curve[0]).toBeLessThanOrEqual(curve[1]!);
      expect(curve[1]).toBe(curve[2]);
      expect(curve[2]).toBeLessThanOrEqual(curve[3]!);
      expect([curve[4], curve[5]]).toEqual([0, 1]);
    }
  });

  it('has paired standard errors of differences', () => {
    // 2 % of the samples differ, all in one direction: SE of the difference is sqrt(.02 * .98 / n).
    const curves = ofSet(nestedBits([0.5, 0.52], 1000), 4000, 4);
    const differences = curves.map((curve) => curve[1]! - curve[0]!);
    expect(deviation(differences) / Math.sqrt((0.02 * 0.98) / 1000)).toBeCloseTo(1, 1);
  });

  it('gives the exact distribution of two samples', () => {
    const curves = ofSet(nestedBits([0.5], 2), 40_000, 5);
    const share = (value: number): number => column(curves, 0).filter((v) => v === value).length / 40_000;
    // Six standard errors of a share of one half are .015.
    expect(Math.abs(share(0) - 0.25)).toBeLessThan(0.015);
    expect(Math.abs(share(0.5) - 0.5)).toBeLessThan(0.015);
    expect(Math.abs(share(1) - 0.25)).toBeLessThan(0.015);
  });

  it('draws clusters as a whole', () => {
    const set = nestedBits([0.5], 100);
    // The first five of ten groups are right in all, the others in none: only tenths are possible.
    const groups = Array.from({ length: 100 }, (_, i) => Math.floor(i / 10));
    const shares = column(ofSet(set, 2000, 6, groups), 0);
    expect(shares.every((share) => Math.abs(10 * share - Math.round(10 * share)) < 1e-9)).toBe(true);
    // Ten draws of clusters instead of a hundred of samples.
    expect(deviation(shares) / Math.sqrt(0.25 / 10)).toBeCloseTo(1, 1);
    // A group of 9 right and one of 1 wrong: drawn twice, once each, or not at all.
    const uneven = column(ofSet(nestedBits([0.9], 10), 500, 7, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), 0);
    expect(new Set(uneven)).toEqual(new Set([0, 0.9, 1]));
  });

  it('repeats itself for a seed, and leaves one set’s draws to that set', () => {
    const [a, b, c] = [0.3, 0.5, 0.7].map((p, i) => randomBits([p], 50, i + 1)) as BitMatrix[];
    const both = resample([a!, b!], 20, 8);
    expect(resample([a!, b!], 20, 8)).toEqual(both);
    const other = resample([a!, c!], 20, 8);
    for (let r = 0; r < 20; r++) expect(replicateCurves(other, r)[0]).toEqual(replicateCurves(both, r)[0]);
    expect(resample([a!, b!], 20, 9).values).not.toEqual(both.values);
    const equal = resample([a!, a!], 20, 8);
    const ofPlace = (place: number) => curvesOfSet(equal, place);
    expect(column(ofPlace(0), 0)).not.toEqual(column(ofPlace(1), 0));
  });

  it('takes 1000 replicates of 50 000 samples at 21 alphas in seconds', () => {
    const uniform = uniforms(14);
    const set = new BitMatrix(21, 50_000);
    for (let c = 0; c < 50_000; c++) {
      // Right from one alpha to another, as on a path.
      const [from, to] = [30 * uniform() - 10, 30 * uniform()];
      for (let k = 0; k < 21; k++) set.set(k, c, k >= from && k <= to);
    }
    const begin = performance.now();
    resample([set], 1000, 1);
    expect(performance.now() - begin).toBeLessThan(20_000);
  });

  it('refuses empty sets, no replicates and groups of another length', () => {
    const set = nestedBits([0.5], 10);
    const code = (code: string) => expect.objectContaining({ code });
    expect(() => resample([set], 0, 1)).toThrow(code('ERR_USAGE'));
    expect(() => resample([new BitMatrix(1, 0)], 10, 1)).toThrow(code('ERR_DATA'));
    expect(() => resample([set, nestedBits([0.5, 0.5], 10)], 10, 1)).toThrow(code('ERR_DATA_MISMATCH'));
    expect(() => resample([set], 10, 1, [[0, 1]])).toThrow(code('ERR_DATA_MISMATCH'));
  });
});

describe('intervals from replicates', () => {
  it('interpolate between order statistics, and reflect for extrema', () => {
    const sorted = Float64Array.of(1, 2, 4, 8, 16);
    expect([0, 0.25, 0.3, 1].map((p) => quantile(sorted, p))).toEqual([1, 2, expect.closeTo(2.4, 12), 16]);
    const shuffled = [8, 1, 16, 2, 4];
    expect(percentileInterval(shuffled, 0.5)).toEqual({ lower: 2, upper: 8 });
    expect(basicInterval(5, shuffled, 0.5)).toEqual({ lower: 2, upper: 8 });
    expect(basicInterval(3, shuffled, 0.5)).toEqual({ lower: -2, upper: 4 });
    expect(() => percentileInterval(shuffled, 95)).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
  });

  it('for one alpha of an accuracy are near the normal ones', () => {
    const set = nestedBits([0.7], 1000);
    const interval = percentileInterval(ofSet(set, 4000, 9).map(([accuracy]) => accuracy!));
    const half = 1.96 * Math.sqrt((0.7 * 0.3) / 1000);
    expect(interval.lower).toBeCloseTo(0.7 - half, 2);
    expect(interval.upper).toBeCloseTo(0.7 + half, 2);
  });
});

describe('the bootstrap of a choice', () => {
  const alphas = Float64Array.of(0, 0.25, 0.5, 0.75, 1);

  it('is certain where one alpha is far ahead', () => {
    const outcomes: Outcomes = {
      alphas,
      sets: [outcomeSet('id', 'id', nestedBits([0.1, 0.2, 0.9, 0.3, 0.2], 500))],
    };
    const result = bootstrapSelection(outcomes, parseRule('max-id'), resampleOutcomes(outcomes, 200, 1));
    expect(result.alpha).toEqual({ lower: 0.5, upper: 0.5 });
    expect([...result.frequencies!].map((f) => Number(f.toFixed(9)))).toEqual([0, 0, 1, 0, 0]);
    expect(result.score).toBeCloseTo(0.9, 12);
    expect(Math.abs(result.optimism!)).toBeLessThan(0.005);
  });

  it('finds the optimism of the best of equals: E max of 5 normals is 1.163 standard deviations', () => {
    // Independent alphas of equal accuracy. The optimism of replicate against data is that of data against truth.
    let [sum, gain] = [0, 0];
    const trials = 30;
    for (let t = 0; t < trials; t++) {
      const outcomes: Outcomes = {
        alphas,
        sets: [outcomeSet('id', 'id', randomBits([0.6, 0.6, 0.6, 0.6, 0.6], 1000, 300 + t))],
      };
      const result = bootstrapSelection(outcomes, parseRule('max-id'), resampleOutcomes(outcomes, 200, t));
      sum += result.optimism!;
      gain += result.score - 0.6;
    }
    const error = Math.sqrt((0.6 * 0.4) / 1000);
    expect(gain / trials / error).toBeGreaterThan(0.9);
    expect(gain / trials / error).toBeLessThan(1.45);
    // The replicates' spread adds to that of the data, so they are chosen from among unequal ones: less optimism.
    expect(sum / trials / error).toBeGreaterThan(0.6);
    expect(sum / trials / error).toBeLessThan(1.3);
  });

  it('applies every kind of rule', () => {
    const outcomes: Outcomes = {
      alphas,
      sets: [
        outcomeSet('id', 'id', randomBits([0.5, 0.6, 0.7, 0.75, 0.76], 300, 17)),
        outcomeSet('sketch', 'shift', randomBits([0.5, 0.6, 0.55, 0.5, 0.4], 300, 18)),
        outcomeSet('kept', 'shift', randomBits([0.9, 0.1, 0.1, 0.1, 0.1], 300, 19), { role: 'report' }),
      ],
    };
    const resamples = resampleOutcomes(outcomes, 100, 1);
    for (const rule of [
      'max-mean',
      'max-worst',
      'max-shift:id-within=0.05',
      'knee',
      'one-se',
      'fixed:0.25',
    ]) {
      const { alpha, frequencies, score } = bootstrapSelection(outcomes, parseRule(rule), resamples);
      expect(mean(frequencies!) * 5).toBeCloseTo(1, 9);
      expect(alpha!.lower).toBeLessThanOrEqual(alpha!.upper);
      expect(score).toBeGreaterThan(0.4);
      if (rule === 'fixed:0.25') expect(frequencies![1]).toBeCloseTo(1, 9);
    }
    const fewer = resample([outcomes.sets[0]!.correct], 10, 1);
    expect(() => bootstrapSelection(outcomes, parseRule('max-id'), fewer)).toThrow(
      expect.objectContaining({ code: 'ERR_DATA_MISMATCH' }),
    );
  });
});
