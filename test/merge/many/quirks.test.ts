// What is peculiar to the formulas that users of mergekit know, a test for each; and its defects, done better. Quirks of
// the file format (gradients, filters, precedence, numbers of YAML 1.1) are in ../config.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { normal } from '../../support/merge-zoo.js';
import { writeModel } from '../../support/models.js';
import { numbers, runMerge, type Weights } from '../../support/number-merge.js';
import { tensor } from '../../support/safetensors.js';
import { f32, merge } from '../../support/small-merge.js';
import { tempDir } from '../../support/temp.js';

const zeros = (n: number) => f32(...Array(n).fill(0));
const ascending = (n: number) => f32(...Array.from({ length: n }, (_, e) => e + 1));
const keptOf = ({ w }: { w: readonly number[] }) => w.filter((value) => value !== 0);
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, k) => from + k);

describe('consensus', () => {
  const ties = (values: number[][], weights: number[], parameters = {}) =>
    merge({
      method: 'ties',
      base: zeros(values[0]!.length),
      models: values.map((one) => f32(...one)),
      own: weights.map((weight) => ({ weight })),
      parameters,
    });

  it('a sum of 0 elects +', async () => {
    const { w } = await ties(
      [
        [2, -2, 1, 0],
        [-2, 2, -1, 0],
      ],
      [1, 1],
    );
    expect(w).toEqual([2, 2, 1, 0]);
  });

  it('weights come before the election: the larger product wins, and a negative weight turns its model', async () => {
    expect((await ties([[1], [-1]], [1, 3])).w).toEqual([-1]);
    expect((await ties([[1], [-1]], [1, -3], { normalize: false })).w).toEqual([4]);
  });

  it('zeros never match: they take no part in the divisor', async () => {
    expect(
      (
        await ties(
          [
            [4, 4],
            [0, 2],
          ],
          [1, 1],
        )
      ).w,
    ).toEqual([4, 3]);
  });

  it('the divisor is the sum of the weights that agree, 1 where that is 0', async () => {
    expect(
      (
        await ties(
          [
            [4, 4],
            [2, -2],
          ],
          [1, 3],
        )
      ).w,
    ).toEqual([(4 + 6) / 4, -2]);
    // 1 and -1 agree in sign where their changes do not: their sum is not divided by.
    expect((await ties([[4], [-2]], [1, -1])).w).toEqual([6]);
  });

  it('lambda comes after normalisation', async () => {
    expect((await ties([[4], [2]], [1, 1], { lambda: 0.5 })).w).toEqual([1.5]);
  });
});

describe('normalised sums of deltas', () => {
  it.each(['task_arithmetic', 'dare_linear', 'breadcrumbs', 'della_linear'])(
    '%s: where no model has a weight, the base is kept to the byte',
    async (method) => {
      const run = await merge({
        method,
        base: f32(1, -0, 3, 4),
        models: [f32(5, 6, Number.NaN, 8), f32(1, 2, 3, 5)],
        own: [
          { weight: 0, density: 0.5 },
          { weight: 0, density: 0.5 },
        ],
        parameters: { normalize: true },
      });
      expect(run.w).toEqual([1, -0, 3, 4]);
    },
  );
});

describe('ties', () => {
  it('keeps int(density n) elements: 28 of 100 at 0.29, being 28.999999999999996', async () => {
    const run = await merge({
      method: 'ties',
      base: zeros(100),
      models: [ascending(100)],
      own: [{ weight: 1, density: 0.29 }],
    });
    expect(keptOf(run)).toEqual(range(73, 101));
  });

  it('a tensor so small that nothing is kept is the base, and reported', async () => {
    const run = await merge({
      method: 'ties',
      base: { small: f32(1, 2), w: zeros(20) },
      models: [{ small: f32(5, 6), w: ascending(20) }],
      own: [{ weight: 1, density: 0.3 }],
    });
    expect([...run.values.small!]).toEqual([1, 2]);
    expect(keptOf(run)).toHaveLength(6);
    expect(run.result.warnings).toEqual([expect.stringMatching(/density too small .* small$/)]);
  });

  it('density 1 and more keeps everything', async () => {
    const run = await merge({
      method: 'ties',
      base: zeros(5),
      models: [ascending(5)],
      own: [{ weight: 1, density: 1.5 }],
    });
    expect(run.w).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('breadcrumbs', () => {
  const crumbs = (n: number, own: Record<string, number>) =>
    merge({ method: 'breadcrumbs', base: zeros(n), models: [ascending(n)], own: [{ weight: 1, ...own }] });

  it('keeps the ranks between the smallest and the largest', async () => {
    expect(keptOf(await crumbs(100, { density: 0.5, gamma: 0.1 }))).toEqual(range(41, 91));
  });

  it('without outliers to drop keeps the largest: gamma 0', async () => {
    expect(keptOf(await crumbs(100, { density: 0.5, gamma: 0 }))).toEqual(range(51, 101));
  });

  it('without outliers to drop keeps the largest: fewer than 100 elements at the default gamma', async () => {
    expect(keptOf(await crumbs(99, { density: 0.5 }))).toEqual(range(51, 100));
    expect(keptOf(await crumbs(100, { density: 0.5 }))).toEqual(range(50, 100));
  });

  it('drops fewer outliers where the density leaves no room for them', async () => {
    expect(keptOf(await crumbs(100, { density: 0.95, gamma: 0.2 }))).toEqual(range(1, 96));
  });
});

describe('sce', () => {
  it.each([0, 0.01])(
    'selecting nothing is the base, of the same shape: select_topk %d',
    async (select_topk) => {
      const { w, tensors } = await merge({
        method: 'sce',
        base: numbers('F32', [2, 3], [1, 2, 3, 4, 5, 6]),
        models: [numbers('F32', [2, 3], [2, 2, 3, 4, 5, 9]), numbers('F32', [2, 3], [3, 2, 3, 1, 5, 6])],
        parameters: { select_topk },
      });
      expect(w).toEqual([1, 2, 3, 4, 5, 6]);
      expect(tensors.w!.shape).toEqual([2, 3]);
    },
  );

  it('counts positions that vary, not all: what no model touched is not selected from', async () => {
    const run = await merge({
      method: 'sce',
      base: zeros(8),
      models: [f32(0, 0, 0, 0, 4, 3, 2, 1), zeros(8)],
      parameters: { select_topk: 0.5 },
    });
    // Two of the four that vary; the only model with energy counts fully.
    expect(run.w).toEqual([0, 0, 0, 0, 4, 3, 0, 0]);
  });
});

it('arcee_fusion writes the dtype of the models, and takes elements over as they are', async () => {
  const base = numbers('BF16', [8, 64], normal(512, 1, 0.5));
  const model = numbers(
    'BF16',
    [8, 64],
    normal(512, 2, 0.05).map((v, e) => base.values[e]! + (e % 9 ? v / 50 : v * 9)),
  );
  const { w, tensors } = await merge({ method: 'arcee_fusion', base, models: [model] });
  expect(tensors.w!.dtype).toBe('BF16');
  const taken = w.filter((value, e) => value !== base.values[e]).length;
  expect(w.every((value, e) => value === base.values[e] || value === model.values[e])).toBe(true);
  expect(taken).toBeGreaterThan(20);
  expect(taken).toBeLessThan(150);
});

describe('della', () => {
  it('rows of one element are kept with probability density', async () => {
    const n = 4000;
    const { w } = await merge({
      method: 'della_linear',
      base: numbers('F32', [n, 1], new Float64Array(n)),
      models: [numbers('F32', [n, 1], new Float64Array(n).fill(1))],
      own: [{ weight: 1, density: 0.3, epsilon: 0.25 }],
      parameters: { rescale: false },
    });
    expect(Math.abs(keptOf({ w }).length / n - 0.3)).toBeLessThan(5 * Math.sqrt(0.21 / n));
  });

  it('above two dimensions a row is everything under one index of axis 0', async () => {
    const shape = [3, 5, 40];
    const flat = [3, 200];
    const values = normal(600, 1, 1);
    const run = async (shape: number[]) =>
      (
        await merge({
          method: 'della_linear',
          base: numbers('F32', shape, new Float64Array(600)),
          models: [numbers('F32', shape, values)],
          own: [{ weight: 1, density: 0.5, epsilon: 0.45 }],
        })
      ).w;
    expect(await run(shape)).toEqual(await run(flat));
    expect(await run(shape)).not.toEqual(await run([15, 40]));
  });

  it('an epsilon that leaves (0, 1) is an error, negative ones too', async () => {
    for (const epsilon of [0.5, 0.6, -0.5]) {
      const run = merge({
        method: 'della',
        base: zeros(2),
        models: [f32(1, 2)],
        own: [{ weight: 1, density: 0.5, epsilon }],
      });
      await expect(run, `${epsilon}`).rejects.toMatchObject({
        code: 'ERR_MERGE_FILE',
        details: { problems: [{ message: expect.stringMatching(/inside \(0, 1\)/) }] },
      });
    }
  });
});

describe('random masks of tensors with few elements', () => {
  it('are drawn, and not said to keep nothing', async () => {
    const names = Array.from({ length: 200 }, (_, i) => `t${i}`);
    const all = (value: number): Weights => Object.fromEntries(names.map((name) => [name, f32(value)]));
    for (const method of ['dare_linear', 'della_linear']) {
      const { values, result } = await merge({
        method,
        base: all(0),
        models: [all(1)],
        own: [{ weight: 1, density: 0.4 }],
      });
      const share = names.filter((name) => values[name]![0] !== 0).length / names.length;
      expect(Math.abs(share - 0.4)).toBeLessThan(5 * Math.sqrt(0.24 / names.length));
      expect(result.warnings).toEqual([]);
    }
  });
});

describe('linear', () => {
  it('in BF16 no element is further from the mean than rounding once takes it', async () => {
    const n = 4096;
    // Of one sign: nothing cancels out.
    const models = [1, 2].map((seed) => numbers('BF16', [n], normal(n, seed, 0.05).map(Math.abs)));
    const { w } = await merge({ method: 'linear', models, own: [{ weight: 0.3 }, { weight: 0.7 }] });
    const [a, b] = models.map(({ values }) => values) as [Float64Array, Float64Array];
    const away = w.map((value, e) => {
      const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7);
      return Math.abs(value - (0.3 * a[e]! + 0.7 * b[e]!)) / unit;
    });
    // F32 on the way adds no more than 2^-13 of a unit. Arithmetic in BF16 is off by up to two.
    expect(Math.max(...away)).toBeLessThan(0.5 + 2 ** -13);
  });

  it('a base that is not listed is not averaged in', async () => {
    const { w, result } = await merge({
      method: 'linear',
      base: f32(100),
      models: [f32(1), f32(3)],
      parameters: { weight: 1 },
    });
    expect(w).toEqual([2]);
    expect(result.warnings).toEqual([expect.stringMatching(/not listed: .* not averaged/)]);
  });

  it('one model is copied whatever its weight', async () => {
    const { w } = await merge({ method: 'linear', models: [f32(0.1, 0.7)], own: [{ weight: 0.3 }] });
    expect(w).toEqual([...f32(0.1, 0.7).values]);
  });

  it('integers are copied where all models have the same, else an error that names the tensor', async () => {
    const root = await tempDir();
    const model = (name: string, id: bigint) =>
      writeModel(join(root, name), [
        tensor('w', 'F32', [1], Float32Array.of(Number(id))),
        tensor('ids', 'I64', [2], BigInt64Array.of(7n, id)),
      ]);
    const text = (...models: string[]) => ({
      merge_method: 'uniform_soup',
      models: models.map((path) => ({ model: path })),
    });
    const { tensors } = await runMerge(root, text(model('a', 1n), model('b', 1n)));
    expect([...new BigInt64Array(new Uint8Array(tensors.get('ids')!.data).buffer)]).toEqual([7n, 1n]);
    await expect(runMerge(root, text(model('c', 1n), model('d', 2n)))).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      details: { problems: [{ code: 'ERR_INTEGER_TENSOR_DIFFERS', tensor: 'ids' }] },
    });
  });
});

it('task_arithmetic ignores density and rescale; int8_mask changes nothing anywhere', async () => {
  const [base, model] = [zeros(50), ascending(50)];
  const own = [{ weight: 0.5, density: 0.1 }];
  const plain = await merge({ method: 'task_arithmetic', base, models: [model], own: [{ weight: 0.5 }] });
  const ignored = await merge({
    method: 'task_arithmetic',
    base,
    models: [model],
    own,
    parameters: { rescale: true, int8_mask: true },
  });
  expect(ignored.w).toEqual(plain.w);
  expect(ignored.result.warnings).toHaveLength(3);
  const trimmed = await merge({ method: 'ties', base, models: [model], own });
  const masked = await merge({ method: 'ties', base, models: [model], own, parameters: { int8_mask: true } });
  expect(masked.w).toEqual(trimmed.w);
});

it('nearswap: nearer than t the other model, further off less of it', async () => {
  const { w } = await merge({
    method: 'nearswap',
    base: numbers('F64', [4], [0, 0, 0, 5]),
    models: [numbers('F64', [4], [0.5, 1, 4, 5])],
    parameters: { t: 1 },
  });
  expect(w).toEqual([0.5, 1, 1, 5]);
});
