import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { slerp as slerpOracle } from '../../support/merge-oracles/spheres.js';
import { normal } from '../../support/merge-zoo.js';
import { numbers, runMerge, writeWeights } from '../../support/number-merge.js';
import { f32, merge, oracleOf } from '../../support/small-merge.js';
import { tempDir } from '../../support/temp.js';

const zeros = (n: number) => f32(...Array(n).fill(0));

describe('slerp', () => {
  const at = async (cosine: number) => {
    const other = [cosine, Math.sqrt(1 - cosine * cosine)];
    const given = {
      method: 'slerp',
      base: numbers('F64', [2], [1, 0]),
      models: [numbers('F64', [2], other)],
      parameters: { t: 0.5 },
    };
    const { w } = await merge(given);
    const straight = [(1 + other[0]!) / 2, other[1]! / 2];
    return { w, straight, oracle: [...slerpOracle(oracleOf(given)).value] };
  };

  it.each([0.9996, -0.9996])('goes straight beyond a cosine of 0.9995: %d', async (cosine) => {
    const { w, straight } = await at(cosine);
    for (const e of [0, 1]) expect(w[e]).toBeCloseTo(straight[e]!, 14);
  });

  it.each([0.9994, -0.9994, 0])('follows the arc below: %d', async (cosine) => {
    const { w, oracle } = await at(cosine);
    for (const e of [0, 1]) expect(w[e]).toBeCloseTo(oracle[e]!, 11);
    if (cosine !== -0.9994) expect(Math.hypot(...w)).toBeCloseTo(1, 12);
  });

  it('takes vectors as they are: lengths are interpolated along', async () => {
    const { w } = await merge({
      method: 'slerp',
      base: f32(2, 0),
      models: [f32(0, 4)],
      parameters: { t: 0.5 },
    });
    expect(w[0]).toBeCloseTo(2 * Math.SQRT1_2, 6);
    expect(w[1]).toBeCloseTo(4 * Math.SQRT1_2, 6);
  });

  it('base_model is v0, wherever it is listed', async () => {
    const root = await tempDir();
    const weights = [1, 2].map((seed) => ({ w: numbers('F32', [50], normal(50, seed, 1)) }));
    const [a, b] = weights.map((one, i) => writeWeights(join(root, `m${i}`), one)) as [string, string];
    const run = async (models: string[], base: string) => {
      const text = {
        merge_method: 'slerp',
        base_model: base,
        models: models.map((model) => ({ model })),
        parameters: { t: 0.25 },
      };
      return (await runMerge(root, text)).tensors.get('w')!.data;
    };
    const first = await run([a, b], a);
    expect((await run([b, a], a)).equals(first)).toBe(true);
    expect((await run([b], a)).equals(first)).toBe(true);
    expect((await run([a, b], b)).equals(first)).toBe(false);
  });

  it('parallel tensors of any length never give NaN: the cosine is clamped', async () => {
    for (const n of [3, 1000, 70_001]) {
      const one = numbers('F32', [n], normal(n, n, 0.1));
      const other = numbers(
        'F32',
        [n],
        one.values.map((v) => 3 * v),
      );
      const { w, nonFinite } = await merge({
        method: 'slerp',
        base: one,
        models: [other],
        parameters: { t: 0.5 },
      });
      expect(nonFinite).toEqual({});
      const away = w.map((value, e) => Math.abs(value - 2 * one.values[e]!));
      expect(Math.max(...away.slice(0, 1000))).toBeLessThan(1e-6);
    }
  });
});

describe('nuslerp', () => {
  it('weights that cancel out are taken as halves, with a warning', async () => {
    const { w, result } = await merge({
      method: 'nuslerp',
      models: [f32(1, 0), f32(0, 1)],
      own: [{ weight: 1 }, { weight: -1 }],
    });
    for (const value of w) expect(value).toBeCloseTo(Math.SQRT1_2, 6);
    expect(result.warnings).toEqual([expect.stringMatching(/sum to 0: t is 0\.5/)]);
  });

  it('opposite vectors go straight, however long: no sine of nearly 0 is divided by', async () => {
    for (const n of [1, 7, 1000, 70_001]) {
      const one = numbers('F32', [n], normal(n, n, 0.1));
      const other = numbers(
        'F32',
        [n],
        one.values.map((v) => -3 * v),
      );
      const own = [{ weight: 1 }, { weight: 1 }];
      const { w } = await merge({ method: 'nuslerp', models: [one, other], own });
      const away = w.slice(0, 1000).map((value, e) => Math.abs(value + one.values[e]!));
      expect(Math.max(...away), `${n}`).toBeLessThan(1e-6);
    }
  });

  it('by default the last axis has the vectors, with nuslerp_row_wise the first', async () => {
    // Rows of the first are orthogonal to those of the second, columns parallel.
    const one = numbers('F64', [2, 2], [1, 0, 1, 0]);
    const other = numbers('F64', [2, 2], [0, 1, 0, 1]);
    const own = [{ weight: 1 }, { weight: 1 }];
    const run = async (parameters: Record<string, unknown>) =>
      (await merge({ method: 'nuslerp', models: [one, other], own, parameters })).w;
    for (const value of await run({ nuslerp_flatten: false })) expect(value).toBeCloseTo(Math.SQRT1_2, 14);
    // A column of zeros has no direction: its cosine is 0.
    const columns = await run({ nuslerp_flatten: false, nuslerp_row_wise: true });
    for (const value of columns) expect(value).toBeCloseTo(Math.SQRT1_2, 14);
    const tilted = numbers('F64', [2, 2], [3, 0, 4, 0]);
    const [a, , c] = (
      await merge({
        method: 'nuslerp',
        models: [numbers('F64', [2, 2], [4, 0, -3, 0]), tilted],
        own,
        parameters: { nuslerp_flatten: false, nuslerp_row_wise: true },
      })
    ).w;
    expect(Math.hypot(a!, c!)).toBeCloseTo(5, 13);
  });
});

describe('karcher', () => {
  it('takes the mean length over all models, those without direction included', async () => {
    const models = [f32(3, 0), f32(3, 0), f32(0, 0)];
    const { w } = await merge({ method: 'karcher', models });
    expect(w[0]).toBeCloseTo(2, 6);
    expect(w[1]).toBe(0);
  });

  it('zeros of all models are zeros', async () => {
    const { w, nonFinite } = await merge({ method: 'karcher', models: [zeros(4), zeros(4), zeros(4)] });
    expect([w, nonFinite]).toEqual([[0, 0, 0, 0], {}]);
  });

  it('does not average base_model, which only gives the configuration', async () => {
    const models = [f32(1, 0), f32(0, 1)];
    const without = await merge({ method: 'karcher', models });
    const withBase = await merge({ method: 'karcher', models, base: f32(-9, 5) });
    expect(withBase.w).toEqual(without.w);
  });

  it('opposite directions are an error that names the tensor', async () => {
    await expect(merge({ method: 'karcher', models: [f32(1, 2), f32(-1, -2)] })).rejects.toMatchObject({
      code: 'ERR_MERGE',
      message: expect.stringMatching(/^w: .*opposite directions/),
    });
  });
});

describe('multislerp', () => {
  it('opposite directions of two models are summed, of more are an error', async () => {
    const own = [1, 3, 2].map((weight) => ({ weight }));
    const two = await merge({
      method: 'multislerp',
      models: [f32(3, 0), f32(-1, 0)],
      own: own.slice(0, 2).map(() => ({ weight: 1 })),
    });
    expect(two.w).toEqual([1, 0]);
    const third = Math.sqrt(3) / 2;
    const star = [f32(1, 0), f32(-0.5, third), f32(-0.5, -third)];
    await expect(
      merge({
        method: 'multislerp',
        models: star,
        own: star.map(() => ({ weight: 1 })),
        parameters: { eps: 1e-6 },
      }),
    ).rejects.toMatchObject({ code: 'ERR_MERGE', message: expect.stringMatching(/^w: .*cancel out/) });
  });

  it('tensors that no model touched, and zeros, are no error', async () => {
    const own = [1, 3, 2].map((weight) => ({ weight }));
    const same = f32(1, 2, 3);
    const touched = await merge({ method: 'multislerp', base: same, models: [same, same, same], own });
    expect(touched.w).toEqual([1, 2, 3]);
    const models = [zeros(3), zeros(3), zeros(3)];
    expect((await merge({ method: 'multislerp', models, own })).w).toEqual([0, 0, 0]);
  });
});

describe('model_stock', () => {
  it('changes against each other keep the base, and are reported', async () => {
    const { w, result, nonFinite } = await merge({
      method: 'model_stock',
      base: f32(1, 2, 3),
      models: [f32(2, 3, 4), f32(0, 1, 2)],
    });
    expect([w, nonFinite]).toEqual([[1, 2, 3], {}]);
    expect(result.warnings).toEqual([expect.stringMatching(/deltas of w cancel out: the base was kept/)]);
  });

  it('t is not clamped: changes that are nearly opposite overshoot', async () => {
    // cos = -0.6: t = 2 (-0.6) / (1 - 0.6) = -3.
    const models = [numbers('F64', [2], [1, 0]), numbers('F64', [2], [-0.6, 0.8])];
    const { w } = await merge({ method: 'model_stock', base: numbers('F64', [2], [0, 0]), models });
    expect(w[0]).toBeCloseTo(-3 * 0.2, 13);
    expect(w[1]).toBeCloseTo(-3 * 0.4, 13);
  });

  it('a tensor that fewer than two models have is an error', async () => {
    const run = merge({
      method: 'model_stock',
      base: { w: f32(1), x: f32(1) },
      models: [{ w: f32(2), x: f32(2) }, { w: f32(3) }],
    });
    await expect(run).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      details: { problems: [{ code: 'ERR_MISSING_TENSOR', tensor: 'x' }] },
    });
  });
});
