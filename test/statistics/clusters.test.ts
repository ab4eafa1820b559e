// Statistics of samples in groups: copies of a sample tell no more than the sample.
import { describe, expect, it } from 'vitest';
import { evidenceOf, meanOf, pairedStandardError } from '../../lib/selection/criteria.js';
import { splitSet } from '../../lib/selection/cross-validation.js';
import { curvesOf, type Outcomes } from '../../lib/selection/curves.js';
import { compareOnFolds, compareOnReport, compareRows } from '../../lib/selection/layer-comparison.js';
import { BitMatrix } from '../../lib/statistics/bits.js';
import { Clusters, clusterVariance } from '../../lib/statistics/clusters.js';
import { stratifiedFolds } from '../../lib/statistics/folds.js';
import { mcnemar, mcnemarGroups, mcnemarRows } from '../../lib/statistics/mcnemar.js';
import { outcomeSet, randomBits, uniforms } from '../support/outcomes.js';

const alphas = Float64Array.of(0, 0.5, 1);

/** Every column so many times, the copies of one in one group. */
function copied(bits: BitMatrix, times: number): { correct: BitMatrix; groups: Uint32Array } {
  const correct = new BitMatrix(bits.rows, bits.columns * times);
  for (let row = 0; row < bits.rows; row++)
    for (let c = 0; c < correct.columns; c++) correct.set(row, c, bits.get(row, Math.floor(c / times)));
  return { correct, groups: Uint32Array.from({ length: correct.columns }, (_, c) => Math.floor(c / times)) };
}

/** Samples in groups of different sizes. */
const uneven = randomBits([0.6, 0.7, 0.65], 300, 7);
const unevenGroups = Uint32Array.from({ length: 300 }, (_, i) => Math.floor(Math.sqrt(i)));

const standardErrors = (outcomes: Outcomes) => {
  const evidence = curvesOf(outcomes).sets.map(evidenceOf);
  const mean = meanOf(evidence, evidence.map(() => 1) as unknown as Float64Array);
  return [1, 2].map((k) => pairedStandardError(evidence, mean, 0, k));
};

describe('the variance by group', () => {
  it('is the sum over groups that a loop over samples gives', () => {
    const clusters = new Clusters(uneven, unevenGroups);
    const d = Array.from({ length: 300 }, (_, i) => Number(uneven.get(1, i)) - Number(uneven.get(0, i)));
    const mean = d.reduce((sum, x) => sum + x, 0) / 300;
    const residuals = new Map<number, number>();
    for (const [i, x] of d.entries())
      residuals.set(unevenGroups[i]!, (residuals.get(unevenGroups[i]!) ?? 0) + x - mean);
    const squares = [...residuals.values()].reduce((sum, r) => sum + r * r, 0);
    const G = residuals.size;
    const [a, b] = [clusters.correct(0), clusters.correct(1)];
    const sums = Float64Array.from(a, (count, g) => b[g]! - count);
    expect(clusterVariance({ sums, sizes: clusters.sizes })).toBeCloseTo(
      ((G / (G - 1)) * squares) / 300 ** 2,
      15,
    );
    expect(clusterVariance({ sums: [3], sizes: [5] })).toBe(Number.POSITIVE_INFINITY);
  });

  it('is in the standard error of one-se: copies do not make it smaller', () => {
    const once = randomBits([0.6, 0.7, 0.65], 80, 3);
    const { correct, groups } = copied(once, 9);
    const single = standardErrors({ alphas, sets: [outcomeSet('id', 'id', once)] });
    const grouped = standardErrors({ alphas, sets: [outcomeSet('id', 'id', correct, { groups })] });
    // But for the correction for few groups.
    for (const k of [0, 1]) expect(grouped[k]).toBeCloseTo(single[k]! * Math.sqrt(80 / 79), 12);
    const mixed = standardErrors({
      alphas,
      sets: [outcomeSet('id', 'id', correct, { groups }), outcomeSet('far', 'shift', once)],
    });
    for (const k of [0, 1])
      expect(mixed[k]).toBeCloseTo(Math.sqrt((single[k]! ** 2 * (80 / 79) + single[k]! ** 2) / 4), 12);
  });

  it('is that of the groups outside a fold in cross-validation', () => {
    const groups = unevenGroups;
    const split = splitSet(outcomeSet('id', 'id', uneven, { groups }), 3, 1, 5, 0);
    const partition = stratifiedFolds(300, { folds: 3, seed: 5, groups })[0]!;
    const kept = [...partition.keys()].filter((i) => partition[i] !== 1);
    const rest = new BitMatrix(3, kept.length);
    for (const row of [0, 1, 2]) for (const [c, i] of kept.entries()) rest.set(row, c, uneven.get(row, i));
    const outside = { alphas, sets: [outcomeSet('id', 'id', rest, { groups: kept.map((i) => groups[i]!) })] };
    const evidence = [split.training(0, 1)];
    const found = pairedStandardError(evidence, meanOf(evidence, Float64Array.of(1)), 0, 2);
    expect(found).toBeCloseTo(standardErrors(outside)[1]!, 12);
  });

  it('is in the intervals of layers and soups, which one group does not have', () => {
    const once = randomBits([0.6, 0.7], 80, 4);
    const { correct, groups } = copied(once, 9);
    const width = ({ interval }: { interval: { lower: number; upper: number } | null }) =>
      interval!.upper - interval!.lower;
    const single = width(compareRows(once, 0, 1));
    expect(width(compareRows(correct, 0, 1, groups))).toBeCloseTo(single, 12);
    const accuracy = Float64Array.of(0, 0);
    const set = { name: 'id', role: 'report', accuracy, correct } as const;
    expect(width(compareOnReport([{ ...set, groups }], 0, 1)!)).toBeCloseTo(single, 12);
    const select = outcomeSet('id', 'id', correct, { groups });
    const folded = compareOnFolds([select], Float64Array.of(0, 1), 1, { kind: 'max-mean' }, { seed: 0 })!;
    expect(width(folded)).toBeCloseTo(single, 12);
    const one = compareOnReport([{ ...set, groups: new Uint32Array(720) }], 0, 1)!;
    expect(one).toMatchObject({ interval: null, withinNoise: null });
  });
});

describe('the McNemar test by group', () => {
  it('is McNemar’s where every sample is its own group, or copies are one', () => {
    for (const [b, c] of [
      [1, 7],
      [3, 3],
      [12, 30],
      [0, 0],
    ] as const) {
      const sums = [...new Array<number>(b).fill(-1), 0, ...new Array<number>(c).fill(1)];
      const found = mcnemarGroups(b, c, sums);
      expect(found).toMatchObject({ onlyFirst: b, onlySecond: c, method: 'exact-groups' });
      expect(found.pValue).toBeCloseTo(mcnemar(b, c).pValue, 12);
      expect(found.midP).toBeCloseTo(mcnemar(b, c).midP, 12);
      const copies = mcnemarGroups(
        5 * b,
        5 * c,
        sums.map((sum) => 5 * sum),
      );
      expect(copies.pValue).toBeCloseTo(found.pValue, 12);
    }
  });

  it('counts the signs of group sums that go as far as the ones found', () => {
    const sums = [3, -1, 2, 4, -2];
    let far = 0;
    for (let signs = 0; signs < 32; signs++) {
      const sum = sums.reduce((total, d, g) => total + ((signs >> g) & 1 ? d : -d), 0);
      if (Math.abs(sum) >= 6) far++;
    }
    expect(mcnemarGroups(3, 9, sums).pValue).toBeCloseTo(far / 32, 12);
  });

  it('is by the normal distribution where there are too many groups to count, near the exact one', () => {
    const uniform = uniforms(5);
    const sums = Array.from({ length: 400 }, () => Math.floor(9 * uniform()) - 4);
    const [exact, normal] = [mcnemarGroups(0, 0, sums), mcnemarGroups(0, 0, sums, 0)];
    expect([exact.method, normal.method]).toEqual(['exact-groups', 'normal-groups']);
    expect(normal.pValue).toBeCloseTo(exact.pValue, 1);
  });

  it('finds differences of correlated samples in 5 % of cases, where the test by sample finds them too often', () => {
    const found = { samples: 0, groups: 0 };
    for (let t = 0; t < 200; t++) {
      const { correct, groups } = copied(randomBits([0.7, 0.7], 40, 1000 + t), 10);
      if (mcnemarRows(correct, 0, 1).pValue < 0.05) found.samples++;
      if (mcnemarRows(correct, 0, 1, groups).pValue < 0.05) found.groups++;
    }
    expect(found.samples).toBeGreaterThan(60);
    expect(found.groups).toBeLessThanOrEqual(17);
  });
});
