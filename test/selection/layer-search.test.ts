// Where tensors stand in a network, how alphas of layers are looked for, and how they compare.
import { describe, expect, test } from 'vitest';
import { compareOnFolds, compareRows, explainLayers } from '../../lib/selection/layer-comparison.js';
import { groupByDepth } from '../../lib/selection/layer-groups.js';
import { alphasOf, searchPattern } from '../../lib/selection/layer-search.js';
import { BitMatrix } from '../../lib/statistics/bits.js';
import { Random } from '../../lib/statistics/random.js';
import { studentTwoSided } from '../../lib/statistics/student.js';

describe('groups by depth', () => {
  const block = (stack: string, n: number) =>
    Array.from({ length: n }, (_, i) => [`${stack}.${i}.a.weight`, `${stack}.${i}.b.0.weight`]).flat();

  test('are what stands before the layers, each layer, and what stands behind', () => {
    const names = ['emb.weight', 'pos', ...block('enc.layers', 12), 'norm.weight', 'head.weight'];
    const groups = groupByDepth(names);
    expect(groups.map(({ name }) => name)).toEqual([
      'embeddings',
      ...Array.from({ length: 12 }, (_, i) => `enc.layers ${i}`),
      'head',
    ]);
    expect(groups.flatMap(({ tensors }) => tensors)).toEqual(names);
    const few = groupByDepth(names, 5);
    expect(few.map(({ name }) => name)).toEqual([
      'embeddings',
      ...['0-1', '2-3', '4-6', '7-8', '9-11'].map((range) => `enc.layers ${range}`),
      'head',
    ]);
    expect(few.flatMap(({ tensors }) => tensors)).toEqual(names);
    expect(groupByDepth(names, 99)).toEqual(groups);
  });

  test('tell two towers apart', () => {
    const names = [
      ...['vision.patch', ...block('vision.layers', 2), 'vision.norm', 'projection.weight'],
      ...['text.table', ...block('text.layers', 1), 'text.norm', 'scale'],
    ];
    const groups = groupByDepth(names);
    const found = Object.fromEntries(groups.map(({ name, tensors }) => [name, tensors]));
    expect(found['vision.layers head']).toEqual(['vision.norm', 'projection.weight']);
    expect(found['text.layers embeddings']).toEqual(['text.table']);
    expect(found['text.layers head']).toEqual(['text.norm', 'scale']);
    expect(groups.flatMap(({ tensors }) => tensors)).toEqual(names);
  });

  test('are one without layers, none without tensors', () => {
    expect(groupByDepth(['a', 'b'])).toEqual([{ name: 'all', tensors: ['a', 'b'] }]);
    expect(groupByDepth([])).toEqual([]);
  });
});

describe('the search', () => {
  const options = {
    ...{ range: [0, 1] as const, step: 0.25, tolerance: 0.01, together: 2 },
    budget: Number.POSITIVE_INFINITY,
  };

  /** Evaluates f; notes what was asked for. */
  function climb(f: (x: readonly number[]) => number, start: readonly number[]) {
    const asked: (readonly number[])[] = [];
    let best = start;
    const evaluate = async (vectors: readonly (readonly number[])[]) => {
      asked.push(...vectors);
      for (const vector of vectors) if (f(vector) > f(best)) best = vector;
      return best;
    };
    return { asked, evaluate, best: () => best };
  }

  test('finds the top of a concave function with mixed terms, inside and at the edge', async () => {
    const target = [0.3, 0.85, 0.5, 0];
    // Where coordinates pull at one another the top of the box is still where the gradient points outwards.
    const f = (x: readonly number[]) =>
      -x.reduce((sum, v, i) => sum + (v - target[i]!) ** 2, 0) - 0.3 * (x[0]! - 0.3) * (x[1]! - 0.85) - x[3]!;
    const { asked, evaluate, best } = climb(f, [0.5, 0.5, 0.5, 0.5]);
    await searchPattern({ ...options, start: [0.5, 0.5, 0.5, 0.5] }, evaluate);
    for (const [i, value] of best().entries()) expect(Math.abs(value - target[i]!)).toBeLessThan(0.03);
    expect(new Set(asked.map(String)).size).toBe(asked.length);
    expect(asked.flat().every((value) => value >= 0 && value <= 1)).toBe(true);
  });

  test('keeps to its budget, and goes the same way again', async () => {
    const f = (x: readonly number[]) => -((x[0]! - 0.2) ** 2) - (x[1]! - 0.9) ** 2;
    const runs = [];
    for (const budget of [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 7]) {
      const { asked, evaluate } = climb(f, [0.5, 0.5]);
      await searchPattern({ ...options, budget, start: [0.5, 0.5] }, evaluate);
      runs.push(asked);
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).toEqual(runs[0]!.slice(0, 7));
  });

  test('by a linear schedule has two coordinates', () => {
    expect(alphasOf('linear', [0.2, 0.8], 4)).toEqual([0.2, 0.4, 0.6, 0.8]);
    expect(alphasOf('layers', [0.2, 0.8], 2)).toEqual([0.2, 0.8]);
  });
});

describe('the comparison', () => {
  function rows(outcomes: readonly (readonly number[])[]): BitMatrix {
    const bits = new BitMatrix(outcomes.length, outcomes[0]!.length);
    for (const [k, row] of outcomes.entries()) {
      for (const [i, right] of row.entries()) if (right) bits.row(k)[i >>> 5]! |= 1 << (i & 31);
    }
    return bits;
  }
  const random = new Random(5, 0);
  const draw = (n: number, p: number) =>
    Array.from({ length: n }, () => (random.uniform() < p ? 1 : 0)) as number[];

  test('has the mean and Student’s interval of paired differences', () => {
    const [a, b] = [draw(211, 0.6), draw(211, 0.7)];
    const d = a.map((x, i) => b[i]! - x);
    const mean = d.reduce((sum, x) => sum + x, 0) / d.length;
    const variance = d.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (d.length - 1);
    const found = compareRows(rows([a, b]), 0, 1);
    expect(found.difference).toBeCloseTo(mean, 12);
    expect(found.interval!.upper - mean).toBeCloseTo(
      studentTwoSided(0.05, 210) * Math.sqrt(variance / d.length),
      12,
    );
    expect(found.interval!.lower).toBeCloseTo(2 * mean - found.interval!.upper, 12);
  });

  test('on folds finds no gain in points that are noise, where their best seems to have one', () => {
    // One model of the line and 40 points that are right by the same chance: what is best is so by luck.
    const correct = rows(Array.from({ length: 41 }, () => draw(300, 0.7)));
    const set = { name: 'val', role: 'select', kind: 'id', correct } as const;
    const best = Math.max(...Array.from({ length: 41 }, (_, k) => correct.count(k)));
    expect((best - correct.count(0)) / 300).toBeGreaterThan(0.03);
    const alphas = new Float64Array(41).fill(0.5);
    const found = compareOnFolds([set], alphas, 1, { kind: 'max-mean' }, { folds: 5, seed: 0 })!;
    expect(found.single).toBeCloseTo(correct.count(0) / 300, 12);
    expect(found.withinNoise).toBe(true);
    expect(explainLayers(found)).toContain('within the noise');
    const sure = rows([draw(300, 0.5), Array.from({ length: 300 }, () => 1)]);
    const gain = compareOnFolds(
      [{ ...set, correct: sure }],
      alphas.subarray(0, 2),
      1,
      { kind: 'max-mean' },
      { folds: 5, seed: 0 },
    )!;
    expect(gain.layered).toBe(1);
    expect(gain.withinNoise).toBe(false);
  });
});
