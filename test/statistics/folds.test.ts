import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stratifiedFolds } from '../../lib/statistics/folds.js';

/** How many samples of each fold satisfy a condition. */
function countsBy(fold: Uint8Array, folds: number, where: (sample: number) => boolean): number[] {
  const counts = new Array<number>(folds).fill(0);
  for (const [sample, f] of fold.entries()) if (where(sample)) counts[f]!++;
  return counts;
}
const range = (values: readonly number[]): number => Math.max(...values) - Math.min(...values);

describe('stratified folds', () => {
  it('differ by at most one in size and in the count of every class', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -2, max: 6 }), { minLength: 8, maxLength: 200 }),
        fc.integer({ min: 2, max: 8 }),
        fc.nat(1000),
        (labels, folds, seed) => {
          for (const fold of stratifiedFolds(labels.length, { folds, seed, labels, repeats: 2 })) {
            expect(fold).toHaveLength(labels.length);
            expect(range(countsBy(fold, folds, () => true))).toBeLessThanOrEqual(1);
            for (const label of new Set(labels))
              expect(range(countsBy(fold, folds, (i) => labels[i] === label))).toBeLessThanOrEqual(1);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('are the same for a seed, and others for another seed, stream or repeat', () => {
    const of = (seed: number, stream = 0) => stratifiedFolds(50, { folds: 5, seed, stream, repeats: 2 });
    expect(of(1)).toEqual(of(1));
    const all = [...of(1), ...of(2), ...of(1, 1)].map((fold) => fold.join());
    expect(new Set(all).size).toBe(6);
  });

  it('put each pair of samples together as often as chance has it', () => {
    const partitions = stratifiedFolds(10, { folds: 5, seed: 9, repeats: 1000 });
    const together = (i: number, j: number): number =>
      partitions.filter((fold) => fold[i] === fold[j]).length;
    // A partner is one of nine: 111 of 1000, standard deviation 10.
    for (const [i, j] of [
      [0, 1],
      [0, 5],
      [4, 9],
    ] as const)
      expect(Math.abs(together(i, j) - 1000 / 9)).toBeLessThan(60);
  });

  it('keep groups together, none empty, and spread classes as groups allow', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(15), fc.nat(2)), { minLength: 1, maxLength: 150 }),
        fc.integer({ min: 2, max: 4 }),
        fc.nat(1000),
        (samples, folds, seed) => {
          const groups = samples.map(([group]) => group);
          const labels = samples.map(([, label]) => label);
          const distinct = new Set(groups).size;
          const make = () => stratifiedFolds(samples.length, { folds, seed, labels, groups });
          if (distinct < folds) {
            expect(make).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
            return;
          }
          const [fold] = make() as [Uint8Array];
          for (const group of new Set(groups))
            expect(new Set([...fold].filter((_, i) => groups[i] === group)).size).toBe(1);
          expect(Math.min(...countsBy(fold, folds, () => true))).toBeGreaterThan(0);
        },
      ),
      { numRuns: 200 },
    );
    // 40 pure groups of two classes, five samples each: each fold can have five groups of each class.
    const groups = Array.from({ length: 200 }, (_, i) => Math.floor(i / 5));
    const labels = groups.map((group) => group % 2);
    const [even] = stratifiedFolds(200, { folds: 4, seed: 3, labels, groups }) as [Uint8Array];
    for (const label of [0, 1])
      expect(countsBy(even, 4, (i) => labels[i] === label)).toEqual([25, 25, 25, 25]);
  });

  it('refuse too few samples, a wrong number of folds and labels of another length', () => {
    const usage = expect.objectContaining({ code: 'ERR_USAGE' });
    for (const folds of [0, 1, 2.5, 256, Number.NaN])
      expect(() => stratifiedFolds(300, { folds, seed: 0 })).toThrow(usage);
    expect(() => stratifiedFolds(4, { folds: 5, seed: 0 })).toThrow(usage);
    expect(() => stratifiedFolds(4, { folds: 2, seed: 0, repeats: 0 })).toThrow(usage);
    expect(() => stratifiedFolds(4, { folds: 2, seed: 0, labels: [1] })).toThrow(
      expect.objectContaining({ code: 'ERR_DATA_MISMATCH' }),
    );
  });
});
