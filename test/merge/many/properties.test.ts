// What must hold whatever the formula: order, scale, ends, models that agree, nothing to sparsify.
import { describe, expect, it } from 'vitest';
import {
  bytes,
  count,
  family,
  given,
  run,
  settings,
  shape,
  sparse,
  w,
  weights,
} from '../../support/merge-family.js';
import { store } from '../../support/merge-oracles/floats.js';
import { type Numbers, numbers, type Weights } from '../../support/number-merge.js';
import { randomWords } from '../../support/random.js';
import { merge, type SmallMerge } from '../../support/small-merge.js';

function expectNear(got: readonly number[], expected: readonly number[], what: string): void {
  const away = got.map((value, e) => Math.abs(value - expected[e]!));
  expect(Math.max(...away), what).toBeLessThan(1e-13);
}

describe('permutation', () => {
  const order = [
    'linear',
    'uniform_soup',
    'fisher',
    'regmean',
    'karcher',
    'multislerp',
    'task_arithmetic',
    'ties',
  ];
  const more = [
    'breadcrumbs',
    'breadcrumbs_ties',
    'negation',
    'lines',
    'model_stock',
    'sce',
    'ram',
    'ramplus_tl',
  ];
  it.each([...order, ...more])('%s does not depend on the order of models', async (method) => {
    const models = family('F64');
    expectNear(await run(method, models, [2, 0, 1]), await run(method, models), method);
  });

  it('nuslerp of two is that of the two exchanged', async () => {
    const models = family('F64');
    expectNear(await run('nuslerp', models, [1, 0]), await run('nuslerp', models), 'nuslerp');
  });

  it('slerp from the other side is that at 1 - t', async () => {
    const [base, model] = family('F64') as [Numbers, Numbers];
    const forth = await run('slerp', [base, model]);
    const back = await run('slerp', [model, base], undefined, { parameters: { t: 0.7 } });
    expectNear(forth, back, 'slerp');
  });

  it('ema and warp do depend on it: they are sequences', async () => {
    const models = family('F64');
    for (const method of ['ema', 'warp']) {
      expect(await run(method, models, [2, 0, 1])).not.toEqual(await run(method, models));
    }
  });
});

describe('scale', () => {
  // Those with a threshold of a fixed size, and softmax, are left out.
  const fixed = new Set([
    'nearswap',
    'ram',
    'ramplus_tl',
    'arcee_fusion',
    'multislerp',
    'karcher',
    'sce',
    'fisher',
  ]);
  it.each(Object.keys(settings).filter((name) => !fixed.has(name)))(
    '%s of weights twice as large is twice as large, to the bit',
    async (method) => {
      const models = family('F32');
      const doubled = models.map(({ values, ...rest }) => ({ ...rest, values: values.map((v) => 2 * v) }));
      const one = await run(method, models);
      expect(await run(method, doubled)).toEqual(one.map((v) => 2 * v));
    },
  );

  it('weights that are normalised may have any scale', async () => {
    const models = family('F32');
    for (const method of ['linear', 'fisher', 'regmean', 'nuslerp', 'multislerp', 'ties', 'della']) {
      const own = settings[method]!.own!.map(({ weight, ...rest }) => ({ ...rest, weight: 4 * weight! }));
      expect(await run(method, models, undefined, { own }), method).toEqual(await run(method, models));
    }
  });
});

describe('ends', () => {
  // The other side holds what must not get through.
  const poisoned = ({ values, ...rest }: Numbers): Numbers => {
    const bad = values.slice();
    bad.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], 5);
    return { ...rest, values: bad };
  };
  const [first, one, two] = family('F32') as [Numbers, Numbers, Numbers];
  const pair = (a: number, b: number) => [{ weight: a }, { weight: b }];

  it.each<[string, SmallMerge, Numbers]>([
    [
      'wise_ft at 0',
      { method: 'wise_ft', base: first, models: [poisoned(one)], parameters: { alpha: 0 } },
      first,
    ],
    [
      'wise_ft at 1',
      { method: 'wise_ft', base: poisoned(first), models: [one], parameters: { alpha: 1 } },
      one,
    ],
    ['slerp at 0', { method: 'slerp', base: first, models: [poisoned(one)], parameters: { t: 0 } }, first],
    ['slerp at 1', { method: 'slerp', base: poisoned(first), models: [one], parameters: { t: 1 } }, one],
    ['nuslerp at 0', { method: 'nuslerp', models: [one, poisoned(two)], own: pair(1, 0) }, one],
    ['nuslerp at 1', { method: 'nuslerp', models: [poisoned(one), two], own: pair(0, 3) }, two],
    [
      'nuslerp at 1 with a base',
      { method: 'nuslerp', base: first, models: [one, two], own: pair(0, 3) },
      two,
    ],
    ['linear at 1', { method: 'linear', models: [one, poisoned(two)], own: pair(0.3, 0) }, one],
    [
      'fisher of one weight',
      { ...given('fisher', [first, one, poisoned(two)], [0, 1]), own: pair(0.3, 0) },
      one,
    ],
    [
      'regmean of one weight',
      { ...given('regmean', [first, one, poisoned(two)], [0, 1]), own: pair(0.3, 0) },
      one,
    ],
    [
      'multislerp of one model',
      { method: 'multislerp', base: first, models: [one], own: [{ weight: 0.3 }] },
      one,
    ],
    ['karcher of one model', { method: 'karcher', models: [one] }, one],
    [
      'ema at 0',
      { method: 'ema', base: first, models: [poisoned(one), two], parameters: { rate: 0 } },
      first,
    ],
    ['ema at 1', { method: 'ema', base: first, models: [poisoned(one), two], parameters: { rate: 1 } }, two],
    ['warp at 0', { method: 'warp', base: first, models: [one, two], parameters: { eta: 0 } }, first],
    ['warp of one model', { method: 'warp', base: first, models: [one] }, one],
    [
      'task arithmetic of one whole task',
      { method: 'task_arithmetic', base: first, models: [one], own: [{ weight: 1 }] },
      one,
    ],
    [
      'task arithmetic, normalised, of one task',
      {
        method: 'task_arithmetic',
        base: first,
        models: [one],
        own: [{ weight: 0.3 }],
        parameters: { normalize: true },
      },
      one,
    ],
    [
      'lambda 0',
      { method: 'ties', base: first, models: [one, two], own: pair(1, 2), parameters: { lambda: 0 } },
      first,
    ],
    ['nearswap at 0', { method: 'nearswap', base: first, models: [one], parameters: { t: 0 } }, first],
    [
      'nearswap of any distance',
      { method: 'nearswap', base: first, models: [one], parameters: { t: 9 } },
      one,
    ],
    [
      'lines of factor 0',
      { method: 'lines', base: first, models: [one], parameters: { alpha: 0, beta: 0 } },
      first,
    ],
  ])('%s: the bytes of one model', async (_, what, expected) => {
    const { tensors, nonFinite } = await merge(what);
    expect(tensors.w!.data.equals(store(expected.values, 'F32'))).toBe(true);
    expect(nonFinite).toEqual({});
  });
});

describe('models that agree', () => {
  it.each(Object.keys(settings))('%s of the base and its copies is the base, to the byte', async (method) => {
    for (const dtype of ['F32', 'BF16'] as const) {
      const [first] = family(dtype) as [Numbers];
      first.values.set([-0, 1e-40, 0], 3);
      const same = numbers(dtype, shape, first.values);
      const data = await bytes(method, [same, same, same, same]);
      expect(data.equals(store(same.values, dtype)), dtype).toBe(true);
    }
  });

  const bound = new Set(['wise_ft', 'slerp', 'nuslerp', 'multislerp', 'karcher', 'regmean', 'warp']);
  it.each(Object.keys(settings).filter((name) => !bound.has(name)))(
    '%s leaves elements alone in which all agree, zeros of either sign and infinities too',
    async (method) => {
      const next = randomWords(9);
      const all = family('BF16');
      const odd = [-0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-40];
      const agreed: number[] = [];
      for (let e = 0; e < count; e++) {
        // Norms of infinities are none.
        if (next() % 3 > 0) continue;
        agreed.push(e);
        const finite = method === 'sce' || method === 'model_stock' || method === 'arcee_fusion';
        const special = finite ? [-0, 0] : odd;
        const value = next() % 4 === 0 ? special[next() % special.length]! : all[0]!.values[e]!;
        for (const { values } of all) values[e] = numbers('BF16', [], [value]).values[0]!;
      }
      const got = await run(method, all);
      const wrong = agreed.filter((e) => !Object.is(got[e], all[0]!.values[e]));
      expect(wrong).toEqual([]);
    },
  );

  it('averages of equal models are that model, though the base is another', async () => {
    const [first, model] = family('F32') as [Numbers, Numbers];
    const methods = ['linear', 'uniform_soup', 'fisher', 'regmean', 'nuslerp', 'multislerp', 'karcher'];
    for (const method of methods) {
      expect(await run(method, [first, model, model, model]), method).toEqual([...model.values]);
    }
  });
});

describe('nothing to sparsify', () => {
  it('density 1: the sparsifier, rescaling, gamma and epsilon have no effect', async () => {
    const models = family('F32');
    const dense = w.map((weight) => ({ weight, density: 1 }));
    const data = (method: string, parameters: Record<string, unknown>, extra: Record<string, number> = {}) =>
      bytes(method, models, undefined, { own: dense.map((one) => ({ ...one, ...extra })), parameters });
    const sum = await data('task_arithmetic', {});
    for (const method of ['dare_linear', 'breadcrumbs', 'della_linear']) {
      const extra =
        method === 'breadcrumbs' ? { gamma: 0.4 } : method === 'della_linear' ? { epsilon: 0.3 } : {};
      expect((await data(method, { rescale: true }, extra)).equals(sum), method).toBe(true);
    }
    const consensus = await data('ties', { normalize: true });
    for (const method of ['dare_ties', 'breadcrumbs_ties', 'della']) {
      expect((await data(method, { normalize: true, rescale: true })).equals(consensus), method).toBe(true);
    }
    const beyond = dense.map((one) => ({ ...one, density: 3 }));
    expect((await bytes('ties', models, undefined, { own: beyond })).equals(consensus)).toBe(true);
  });

  it('density 0 leaves the base', async () => {
    const models = family('F32');
    const own = w.map((weight) => ({ weight, density: 0 }));
    for (const method of Object.keys(settings).filter((name) => settings[name]!.own === sparse)) {
      const { w: got, result } = await merge(given(method, models, undefined, { own }));
      expect(got, method).toEqual([...models[0]!.values]);
      expect(result.warnings).toEqual([]);
    }
  });

  it('a model of weight 0 is as good as absent', async () => {
    const models = family('F32');
    for (const method of [
      'linear',
      'fisher',
      'regmean',
      'task_arithmetic',
      'ties',
      'breadcrumbs',
      'negation',
    ]) {
      const own = settings[method]!.own!.map((one, i) => (i === 1 ? { ...one, weight: 0 } : one));
      const all = await bytes(method, models, undefined, { own });
      expect(all.equals(await bytes(method, models, [0, 2], { own })), method).toBe(true);
    }
    const own = weights.map((one, i) => (i === 1 ? { weight: 0 } : one));
    const wide = family('F64');
    expectNear(
      await run('multislerp', wide, undefined, { own }),
      await run('multislerp', wide, [0, 2], { own }),
      'multislerp',
    );
  });
});

it('output dtypes: one rounding from F32, whatever the inputs', async () => {
  const models = family('F32');
  const exact = await run('linear', models);
  for (const dtype of ['float16', 'bfloat16', 'float32', 'float64'] as const) {
    const type = ({ float16: 'F16', bfloat16: 'BF16', float32: 'F32', float64: 'F64' } as const)[dtype];
    const { w: got, tensors } = await merge({ ...given('linear', models), rest: { out_dtype: dtype } });
    expect(tensors.w!.dtype).toBe(type);
    expect(got).toEqual([...numbers(type, shape, exact).values]);
    // dtype alone says what is written; it changes no arithmetic.
    const { w: same } = await merge({ ...given('linear', models), rest: { dtype, out_dtype: 'float32' } });
    expect(same).toEqual(exact);
  }
});

it('one tensor of many names is merged alike', async () => {
  const [first, one, two] = family('F32') as [Numbers, Numbers, Numbers];
  const named = (of: Numbers): Weights => ({ a: of, 'model.layers.0.b': of, c: of });
  const { tensors } = await merge({
    method: 'model_stock',
    base: named(first),
    models: [named(one), named(two)],
  });
  expect(tensors.a!.data.equals(tensors.c!.data)).toBe(true);
  expect(tensors.a!.data.equals(tensors['model.layers.0.b']!.data)).toBe(true);
});
