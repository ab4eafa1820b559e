import { describe, expect, it } from 'vitest';
import { type Band, combine, contribution } from '../../lib/selection/band.js';
import { accuracies, type Outcomes } from '../../lib/selection/curves.js';
import { compareRows } from '../../lib/selection/layer-comparison.js';
import { BitMatrix } from '../../lib/statistics/bits.js';
import { clopperPearson } from '../../lib/statistics/intervals.js';
import { mcnemar } from '../../lib/statistics/mcnemar.js';
import { studentTwoSided } from '../../lib/statistics/student.js';
import { judge, resample, resampleOutcomes, simultaneousBand } from '../support/finished.js';
import { nestedBits, outcomeSet, randomBits, uniforms } from '../support/outcomes.js';

interface Options {
  readonly replicates?: number;
  readonly groups?: ArrayLike<number>;
  readonly confidence?: number;
}

/** The band of a set's own curve. */
function bandOf(set: BitMatrix, seed: number, { replicates = 1000, groups, confidence }: Options = {}): Band {
  const resamples = resample([set], replicates, seed, [groups]);
  const curve = { accuracy: accuracies(set), samples: set.columns, groups };
  const points = Array.from({ length: set.rows }, (_, k) => combine([k, 1]));
  return simultaneousBand([contribution(resamples, 0, curve, points)], confidence);
}

const pairOf = (correct: BitMatrix, groups?: ArrayLike<number>): Outcomes => ({
  alphas: Float64Array.of(0, 1),
  sets: [outcomeSet('val', 'id', correct, groups && { groups })],
});

/** The chosen end against the other one. */
function comparison(outcomes: Outcomes, replicates: number, seed: number) {
  const resamples = resampleOutcomes(outcomes, replicates, seed);
  return judge(outcomes, { kind: 'fixed', alpha: 1 }, resamples).comparisons[0]!;
}

describe('the simultaneous band', () => {
  it('is pointwise for one curve many times over, and close to Sidak’s for independent ones', () => {
    const same = nestedBits([0.6, 0.6, 0.6, 0.6, 0.6], 2000);
    expect(Math.abs(bandOf(same, 10, { replicates: 4000 }).critical - 1.96)).toBeLessThan(0.1);
    const apart = randomBits([0.6, 0.6, 0.6, 0.6, 0.6], 2000, 15);
    // Two-sided normal quantile of 1 - .95^(1/5) = .0102: 2.569.
    expect(Math.abs(bandOf(apart, 10, { replicates: 4000 }).critical - 2.569)).toBeLessThan(0.12);
  });

  it('holds the whole of as many replicates as it says', () => {
    // Accuracies of many samples take many values, so that few replicates lie on the band itself.
    const set = randomBits([0.4, 0.5, 0.6], 20_001, 16);
    const { lower, upper } = bandOf(set, 11, { replicates: 2000, confidence: 0.9 });
    const { values } = resample([set], 2000, 11);
    let inside = 0;
    for (let r = 0; r < 2000; r++)
      if ([0, 1, 2].every((k) => values[3 * r + k]! >= lower[k]! && values[3 * r + k]! <= upper[k]!))
        inside++;
    expect(Math.abs(inside / 2000 - 0.9)).toBeLessThan(0.005);
  });

  it('covers the true curve in 95 % of data sets', () => {
    const truth = [0.5, 0.55, 0.6, 0.65];
    let covered = 0;
    for (let t = 0; t < 200; t++) {
      const { lower, upper } = bandOf(randomBits(truth, 300, 1000 + t), t, { replicates: 300 });
      if (truth.every((p, k) => lower[k]! <= p && p <= upper[k]!)) covered++;
    }
    // 190 expected; four standard deviations of 3.1 below.
    expect(covered).toBeGreaterThanOrEqual(178);
  });

  it('stays within what accuracies and their differences can be', () => {
    const { lower, upper } = bandOf(nestedBits([0.05, 0.95], 20), 1);
    expect([lower[0], upper[1]]).toEqual([0, 1]);
    expect(upper[0]).toBeLessThan(1);
    const { interval } = comparison(pairOf(nestedBits([0, 0.9], 10)), 500, 1);
    expect(interval!.upper).toBe(1);
  });
});

describe('samples that all agree', () => {
  it('leave accuracy uncertain, as Clopper and Pearson have it', () => {
    const { lower, upper, standardErrors } = bandOf(nestedBits([1, 0, 0.5], 20), 1);
    const sure = clopperPearson(20, 20);
    expect([standardErrors[0], standardErrors[1]]).toEqual([0, 0]);
    expect([lower[0], upper[0]]).toEqual([expect.closeTo(sure.lower, 12), 1]);
    expect(sure.lower).toBeCloseTo(0.832, 3);
    expect([lower[1], upper[1]]).toEqual([0, expect.closeTo(1 - sure.lower, 12)]);
  });

  it.each([2, 4, 5, 6, 8])('tell two models apart where McNemar does: %i of them', (n) => {
    const correct = nestedBits([0, 1], n);
    const told = mcnemar(0, n).pValue < 0.05;
    const { difference, interval, insideNoise } = comparison(pairOf(correct), 200, 1);
    expect(difference).toBe(1);
    expect(insideNoise).toBe(!told);
    const paired = compareRows(correct, 0, 1).interval!;
    expect(paired.lower > 0).toBe(told);
    expect(paired).toEqual({ lower: expect.closeTo(interval!.lower, 12), upper: 1 });
  });

  it('are as many as their groups', () => {
    const groups = Int32Array.from({ length: 40 }, (_, i) => i % 4);
    const correct = nestedBits([0, 1], 40);
    expect(comparison(pairOf(correct), 200, 1).insideNoise).toBe(false);
    const byGroup = comparison(pairOf(correct, groups), 200, 1);
    expect(byGroup).toMatchObject({ insideNoise: true });
    expect(compareRows(correct, 0, 1, groups).interval!.lower).toBeCloseTo(byGroup.interval!.lower, 12);
  });

  it('are no doubt about a model against itself', () => {
    expect(compareRows(nestedBits([1, 1], 20), 0, 0).interval).toEqual({ lower: 0, upper: 0 });
    expect(compareRows(nestedBits([1, 1], 20), 0, 1).interval!.upper).toBeGreaterThan(0.1);
  });
});

describe('few groups', () => {
  it('have Student’s quantile with one degree of freedom less', () => {
    // Two groups of ten, 8 and 4 right: mean .6, standard error sqrt(2 / 1 * 2 * 2^2) / 20 = .2.
    const correct = new BitMatrix(2, 20);
    const groups = Int32Array.from({ length: 20 }, (_, i) => (i < 10 ? 0 : 1));
    for (const i of [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13]) correct.set(1, i, true);
    const { standardErrors } = bandOf(correct, 1, { replicates: 20_000, groups });
    expect(standardErrors[1]).toBeCloseTo(0.2, 2);
    const wide = Int32Array.from({ length: 30 }, (_, i) => (i < 10 ? 0 : i < 18 ? 1 : 2));
    const { interval, difference } = compareRows(nestedBits([0, 0.5], 30), 0, 1, wide);
    // Sums 10, 5 and 0 of 10, 8 and 12 samples, less half of these: 5, 1 and -6.
    const error = Math.sqrt((3 / 2) * (25 + 1 + 36)) / 30;
    expect(difference - interval!.lower).toBeCloseTo(studentTwoSided(0.05, 2) * error, 9);
  });

  it.each([3, 5, 10])('of %i groups exclude the truth in about one data set of twenty', (count) => {
    const uniform = uniforms(count);
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    const [size, sets] = [20, 200];
    const groups = Int32Array.from({ length: count * size }, (_, i) => Math.floor(i / size));
    let [band, paired] = [0, 0];
    for (let t = 0; t < sets; t++) {
      const correct = new BitMatrix(2, count * size);
      for (let g = 0; g < count; g++) {
        // By group one model or the other is better; over all groups neither is.
        const lead = 0.1 * normal();
        for (let i = g * size; i < (g + 1) * size; i++) {
          correct.set(0, i, uniform() < 0.6 - lead);
          correct.set(1, i, uniform() < 0.6 + lead);
        }
      }
      if (!comparison(pairOf(correct, groups), 200, t).insideNoise) band++;
      const { lower, upper } = compareRows(correct, 0, 1, groups).interval!;
      if (lower > 0 || upper < 0) paired++;
    }
    expect(band / sets).toBeLessThanOrEqual(0.08);
    expect(paired / sets).toBeLessThanOrEqual(0.08);
  });
});
