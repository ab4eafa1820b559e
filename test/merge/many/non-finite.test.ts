// NaN and infinities in a model: they come out where they went in, or everywhere where a norm met them, and are
// counted; they never pass silently, and never stop a merge.
import { describe, expect, it } from 'vitest';
import { expectElements } from '../../support/merge-oracles/compare.js';
import { oracles } from '../../support/merge-oracles/methods.js';
import { normal } from '../../support/merge-zoo.js';
import { type Numbers, numbers, type Weights } from '../../support/number-merge.js';
import { merge, oracleOf, type SmallMerge } from '../../support/small-merge.js';

const shape = [12, 32];
const count = shape[0]! * shape[1]!;
const broken = { 3: Number.NaN, 7: Number.POSITIVE_INFINITY, 170: Number.NEGATIVE_INFINITY };
/** Equal in all models. */
const everywhere = { 200: Number.POSITIVE_INFINITY, 201: Number.NEGATIVE_INFINITY };

function tensors(dtype: 'F32' | 'BF16', which: number) {
  const base = normal(count, 1, 0.05);
  const model = (i: number) => {
    const change = normal(count, 10 + i, 0.02);
    return base.map((b, e) => b + change[e]!);
  };
  const all = [base, ...[0, 1, 2].map(model)].map((values) => numbers(dtype, shape, values));
  for (const [e, value] of Object.entries(everywhere))
    for (const { values } of all) values[Number(e)] = value;
  for (const [e, value] of Object.entries(broken)) all[1 + which]!.values[Number(e)] = value;
  return { base: all[0]!, models: all.slice(1) };
}

const weights = [0.3137, 0.7193, -0.4143].map((weight) => ({ weight }));
const sparse = weights.map(({ weight }) => ({ weight, density: 0.6 }));
const keepSums = { rescale: 0 };
const cases: readonly [
  string,
  Pick<SmallMerge, 'own' | 'parameters'> & { base?: boolean; models?: number },
][] = [
  ['wise_ft', { base: true, models: 1, parameters: { alpha: 0.4 } }],
  ['linear', { own: weights }],
  ['uniform_soup', {}],
  ['task_arithmetic', { base: true, own: weights }],
  ['ties', { base: true, own: sparse }],
  ['dare_linear', { base: true, own: sparse, parameters: keepSums }],
  ['dare_ties', { base: true, own: sparse, parameters: keepSums }],
  ['breadcrumbs', { base: true, own: sparse }],
  ['breadcrumbs_ties', { base: true, own: sparse }],
  ['della', { base: true, own: sparse, parameters: keepSums }],
  ['della_linear', { base: true, own: sparse, parameters: keepSums }],
  ['negation', { base: true, own: weights }],
  ['lines', { base: true, own: weights, parameters: { alpha: 0.5, beta: 1 } }],
  ['ema', { base: true, parameters: { rate: 0.3 } }],
  ['ram', { base: true }],
  ['ramplus_tl', { base: true }],
  ['nearswap', { base: true, models: 1, parameters: { t: 0.01 } }],
  ['passthrough', { models: 1, own: [{ scale: 2 }] }],
];

/** Every dtype, and every place that the broken model can have among `models`, as tensors of one merge. */
function variants(models: number) {
  const all = (['F32', 'BF16'] as const).flatMap((dtype) =>
    [...new Set([0, models - 1])].map((which) => ({
      name: `${dtype} ${which}`,
      dtype,
      ...tensors(dtype, which),
    })),
  );
  const named = (of: (one: (typeof all)[0]) => Numbers): Weights =>
    Object.fromEntries(all.map((one) => [one.name, of(one)]));
  return {
    all,
    base: named(({ base }) => base),
    models: Array.from({ length: models }, (_, i) => named((one) => one.models[i]!)),
  };
}

describe('element by element', () => {
  it.each(cases)(
    '%s: only where the oracle has them',
    async (method, { base = false, models = 3, ...rest }) => {
      const { all, ...given } = variants(models);
      const seed = 5;
      const run = await merge({
        method,
        models: given.models,
        ...(base && { base: given.base }),
        ...rest,
        options: { seed },
      });
      for (const one of all) {
        const expected = oracles[method]!({
          ...oracleOf({
            method,
            models: one.models.slice(0, models),
            ...(base && { base: one.base }),
            ...rest,
            options: { seed },
          }),
          name: one.name,
        });
        // What is equal in all models adds nothing, whatever the weights make of it.
        for (const [e, value] of Object.entries(everywhere)) {
          if (base) expected.value[Number(e)] = value;
        }
        expectElements(one.name, run.tensors[one.name]!.data, one.dtype, expected, {
          models,
          compute: 'F32',
        });
        const bad = run.values[one.name]!.filter((value) => !Number.isFinite(value)).length;
        // What is dropped does not come out.
        expect(bad).toBeGreaterThanOrEqual(rest.own === sparse ? 2 : 5);
        expect(run.nonFinite[one.name]).toBe(bad);
      }
    },
  );

  it('fisher: only where a model or its information is not finite', async () => {
    const { models } = tensors('F32', 1);
    const of = models.map((_, i) => numbers('F32', shape, normal(count, 50 + i, 1).map(Math.abs)));
    of[2]!.values[300] = Number.NaN;
    const { w, nonFinite } = await merge({ method: 'fisher', models, statistics: { key: 'fisher', of } });
    const bad = w.flatMap((value, e) => (Number.isFinite(value) ? [] : [e]));
    expect(bad).toEqual([3, 7, 170, 200, 201, 300]);
    expect(nonFinite).toEqual({ w: 6 });
  });
});

describe('where norms decide, all of the tensor is NaN', () => {
  const two = [{ weight: 0.3 }, { weight: 0.7 }];
  it.each<[string, Omit<SmallMerge, 'method' | 'models' | 'base'> & { base?: boolean; models?: number }]>([
    ['slerp', { base: true, models: 1, parameters: { t: 0.3 } }],
    ['nuslerp', { models: 2, own: two }],
    ['nuslerp', { base: true, models: 2, own: two }],
    ['multislerp', { own: weights }],
    ['multislerp', { base: true, own: weights }],
    ['karcher', {}],
    ['warp', { base: true }],
    ['model_stock', { base: true }],
    ['sce', { base: true }],
    ['dare_linear', { base: true, own: sparse }],
    ['della', { base: true, own: sparse }],
  ])('%s %j', async (method, { base = false, models = 3, ...rest }) => {
    const { all, ...given } = variants(models);
    const { values, nonFinite } = await merge({
      method,
      models: given.models,
      ...(base && { base: given.base }),
      ...rest,
    });
    for (const { name } of all) {
      expect(values[name]!.every(Number.isNaN), name).toBe(true);
      expect(nonFinite[name]).toBe(count);
    }
  });

  it('or of the row or column whose norm it is', async () => {
    for (const [method, own, parameters, axis] of [
      ['nuslerp', two, { nuslerp_flatten: false }, 0],
      ['nuslerp', two, { nuslerp_flatten: false, nuslerp_row_wise: true }, 1],
      ['model_stock', [], { filter_wise: true }, 0],
    ] as const) {
      const all = tensors('F32', 1);
      for (const e of [200, 201]) for (const { values } of [all.base, ...all.models]) values[e] = 0.1;
      const base = method === 'model_stock' ? { base: all.base } : {};
      const { w } = await merge({ method, models: all.models.slice(0, 2), own, parameters, ...base });
      const place = (e: number) => (axis === 0 ? Math.floor(e / 32) : e % 32);
      const bad = new Set([3, 7, 170].map(place));
      expect(w.map(Number.isNaN)).toEqual(w.map((_, e) => bad.has(place(e))));
    }
  });
});

describe('selection', () => {
  it('arcee_fusion takes a row over whose divergence is not defined', async () => {
    const { base, models } = tensors('F32', 0);
    for (const e of [200, 201]) for (const { values } of [base, models[0]!]) values[e] = 0.1;
    const { w, nonFinite } = await merge({ method: 'arcee_fusion', base, models: [models[0]!] });
    for (const row of [0, 5]) {
      const range = [32 * row, 32 * row + 32] as const;
      expect(w.slice(...range)).toEqual([...models[0]!.values.slice(...range)]);
    }
    expect(nonFinite).toEqual({ w: 3 });
  });

  it('a model of weight 0 is as good as absent, whatever it holds', async () => {
    const { base, models } = tensors('F32', 1);
    const own = [{ weight: 0.4 }, { weight: 0 }, { weight: 0.9 }];
    for (const method of [
      'linear',
      'multislerp',
      'task_arithmetic',
      'ties',
      'breadcrumbs',
      'breadcrumbs_ties',
      'negation',
    ]) {
      const density = /ties|bread/.test(method) ? { density: 0.5 } : {};
      const given = (which: number[]): SmallMerge => ({
        method,
        ...(method !== 'linear' && { base }),
        models: which.map((i) => models[i]!),
        own: which.map((i) => ({ ...own[i]!, ...density })),
      });
      const [all, without] = [await merge(given([0, 1, 2])), await merge(given([0, 2]))];
      expect(all.tensors.w!.data.equals(without.tensors.w!.data), method).toBe(true);
      expect(all.nonFinite.w).toBe(2);
    }
    // Masks follow from a model's place, so that the one without weight comes last here.
    for (const method of ['dare_linear', 'dare_ties', 'della', 'della_linear']) {
      const given = (which: number[]): SmallMerge => ({
        method,
        base,
        models: which.map((i) => models[i]!),
        own: which.map((i) => ({ ...own[i]!, density: 0.5 })),
      });
      const [all, without] = [await merge(given([0, 2, 1])), await merge(given([0, 2]))];
      expect(all.tensors.w!.data.equals(without.tensors.w!.data), method).toBe(true);
    }
  });
});
