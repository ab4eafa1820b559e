// What is kept where magnitudes are equal, and in tensors of several spans and chunks: ranks are exact, and equal ones
// are told apart by index.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeFile } from '../../../lib/merge/many/merge-file.js';
import { expectElements } from '../../support/merge-oracles/compare.js';
import { oracles } from '../../support/merge-oracles/methods.js';
import { ranks } from '../../support/merge-oracles/ranks.js';
import { normal } from '../../support/merge-zoo.js';
import { type Numbers, numbers, writeWeights } from '../../support/number-merge.js';
import { randomWords } from '../../support/random.js';
import { merge, oracleOf, type SmallMerge } from '../../support/small-merge.js';
import { tempDir } from '../../support/temp.js';

/** Three spans of 65536 elements; with the least memory, three chunks too. */
const count = 150_001;
const base = numbers('BF16', [count], new Float64Array(count));
const memory = 8 * 2 ** 20 + 6 * (2 ** 18 + 2 ** 14);

/** A change that is ±size everywhere, or one of few sizes. */
function change(seed: number, sizes: readonly number[]): Numbers {
  const next = randomWords(seed);
  return numbers(
    'BF16',
    [count],
    Float64Array.from({ length: count }, () => (next() & 1 ? 1 : -1) * sizes[next() % sizes.length]!),
  );
}
/** Indices where the only model's change came through. */
const keptOf = (w: readonly number[]): number[] => w.flatMap((value, e) => (value === 0 ? [] : [e]));
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, k) => from + k);

describe('all magnitudes equal', () => {
  const models = [change(1, [0.5])];
  const density = 0.7;
  const kept = Math.trunc(density * count);

  it('ties keeps the lowest indices', async () => {
    const { w } = await merge({
      method: 'ties',
      base,
      models,
      own: [{ weight: 1, density }],
      options: { memory },
    });
    expect(keptOf(w)).toEqual(range(0, kept));
  });

  it('breadcrumbs drops the last as outliers, the first as too small', async () => {
    const gamma = 0.1;
    const { w } = await merge({
      method: 'breadcrumbs',
      base,
      models,
      own: [{ weight: 1, density, gamma }],
      options: { memory },
    });
    const top = Math.trunc(gamma * count);
    expect(keptOf(w)).toEqual(range(count - kept - top, count - top));
  });

  it('sce keeps the lowest indices', async () => {
    const opposite = numbers(
      'BF16',
      [count],
      models[0]!.values.map((value) => -value),
    );
    const { w } = await merge({
      method: 'sce',
      base,
      models: [models[0]!, opposite],
      parameters: { select_topk: density },
      options: { memory },
    });
    // Of two opposite changes, the positive one is elected.
    expect(keptOf(w)).toEqual(range(0, kept));
    expect(new Set(w)).toEqual(new Set([0, 0.5]));
  });

  it('della gives the lowest index the lowest probability', async () => {
    const own = [{ weight: 1, density: 0.5, epsilon: 0.49 }];
    const { w } = await merge({ method: 'della', base, models, own, parameters: { rescale: false } });
    const share = (from: number, to: number) => keptOf(w.slice(from, to)).length / (to - from);
    // From 0.01 on the left to 0.99 on the right; by tenths, each within five standard deviations.
    for (let tenth = 0; tenth < 10; tenth++) {
      const p = 0.01 + 0.98 * (0.1 * tenth + 0.05);
      const n = count / 10;
      const [from, to] = [Math.round(tenth * n), Math.round((tenth + 1) * n)];
      expect(Math.abs(share(from, to) - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / n));
    }
  });
});

describe('few magnitudes', () => {
  const sizes = [0, 0.25, 0.5, 0.75, 1, 1.5];
  const models = [change(2, sizes), change(3, sizes), change(4, [0, 1])];
  // Powers of two: no sum of any of them is near another but equal.
  const own = (density: number) => [1, 0.25, 2].map((weight) => ({ weight, density }));

  it.each<[string, SmallMerge['parameters'], number]>([
    ['ties', {}, 0.5],
    ['ties', { rescale: true }, 0.05],
    ['ties', {}, 0.999],
    ['breadcrumbs', {}, 0.5],
    ['breadcrumbs_ties', { normalize: true }, 0.85],
    ['della_linear', {}, 0.5],
  ])('%s %j, density %d', async (method, parameters, density) => {
    const numbersOf = Object.fromEntries(
      Object.entries(parameters!).map(([name, value]) => [name, Number(value)]),
    );
    const given: SmallMerge = {
      method,
      base,
      models,
      own: own(density),
      parameters: parameters!,
      options: { memory },
    };
    const { tensors } = await merge(given);
    const expected = oracles[method]!({ ...oracleOf(given), parameters: numbersOf });
    expectElements(method, tensors.w!.data, 'BF16', expected, { models: 3, compute: 'F32' });
  });

  it('sce, by variances of two models', async () => {
    const given: SmallMerge = {
      method: 'sce',
      base,
      models: models.slice(0, 2),
      parameters: { select_topk: 0.4 },
      options: { memory },
    };
    const { tensors } = await merge(given);
    expectElements('sce', tensors.w!.data, 'BF16', oracles.sce!(oracleOf(given)), {
      models: 2,
      compute: 'F32',
    });
  });

  it('arcee_fusion: everything that reaches the threshold', async () => {
    const rows = { dtype: 'BF16' as const, shape: [107, 1401] };
    const from = numbers(
      rows.dtype,
      rows.shape,
      normal(107 * 1401, 5, 0.5).map((v) => Math.round(v * 8) / 8),
    );
    const next = randomWords(6);
    const to = { ...rows, values: from.values.map((v) => v + [0, 0, 0.125, 0.25, -0.125, 2][next() % 6]!) };
    const given: SmallMerge = { method: 'arcee_fusion', base: from, models: [to] };
    const { tensors, w } = await merge(given);
    const expected = oracles.arcee_fusion!(oracleOf(given));
    expectElements('arcee', tensors.w!.data, 'BF16', expected, { models: 1, compute: 'F32' });
    const taken = w.filter((value, e) => value !== from.values[e]).length;
    expect(taken).toBeGreaterThan(1000);
  });
});

it('in F64, magnitudes that F32 cannot tell apart are told apart', async () => {
  const n = 70_000;
  const values = Float64Array.from(ranks(normal(n, 7, 1), 'ascending'), (rank) => 1 + rank * 2 ** -45);
  const model = numbers('F64', [n], values);
  const zero = numbers('F64', [n], new Float64Array(n));
  const given: SmallMerge = {
    method: 'ties',
    base: zero,
    models: [model],
    own: [{ weight: 1, density: 0.5 }],
  };
  const { w } = await merge(given);
  expect(w).toEqual([...oracles.ties!(oracleOf(given)).value]);
});

/** Each of 65536 neighbouring magnitudes four times: more different keys in all chunks than are remembered. */
it('equal ones among very many different magnitudes are cut by index, in any number of chunks', async () => {
  const n = 4 * 65_536;
  const values = Float64Array.from({ length: n }, (_, e) => 1 + ((e * 40_503) % 65_536) * 2 ** -23);
  const kept = Math.trunc(0.4 * n);
  // Of one magnitude, one of four is kept.
  expect(kept % 4).toBe(1);
  const order = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]! || a - b);
  const expected = order.slice(0, kept).sort((a, b) => a - b);
  for (const bytes of [memory, 2 ** 28]) {
    const { w } = await merge({
      method: 'ties',
      base: numbers('F32', [n], new Float64Array(n)),
      models: [numbers('F32', [n], values)],
      own: [{ weight: 1, density: 0.4 }],
      options: { memory: bytes },
    });
    expect(keptOf(w)).toEqual(expected);
  }
});

describe('a tensor that does not fit the buffers', () => {
  const n = 1_500_000;
  const some = (seed: number): Numbers => numbers('BF16', [n], normal(n, seed, 0.02));
  /** Larger and larger: where the threshold lies is known late. */
  const growing = (seed: number): Numbers =>
    numbers(
      'BF16',
      [n],
      normal(n, seed, 0.02).map((v, e) => v * (1 + (3 * e) / n)),
    );
  const bytesRead = (): number => Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))![1]);
  const small = 9.25 * 2 ** 20;

  // One sweep that counts and one that writes; a little of the first again, where it was not guessed or magnitudes are equal.
  it.runIf(existsSync('/proc/self/io')).each<[string, (seed: number) => Numbers, SmallMerge['own'], number]>([
    ['ties', some, [0.5, 0.3].map((density) => ({ weight: 0.4, density })), 2.3],
    ['ties', growing, [0.5, 0.3].map((density) => ({ weight: 0.4, density })), 3.2],
    ['breadcrumbs', some, [0.01, 0.02].map((gamma) => ({ weight: 0.4, density: 0.9, gamma })), 2.6],
  ])('is read by %s (%o, %o) less than %d times', async (method, model, own, most) => {
    const root = await tempDir();
    const write = (name: string, seed: number): string => writeWeights(join(root, name), { w: model(seed) });
    const config = join(root, 'merge.yml');
    const text = {
      merge_method: method,
      base_model: write('base', 1),
      models: own!.map((parameters, i) => ({ model: write(`model${i}`, 2 + i), parameters })),
    };
    writeFileSync(config, JSON.stringify(text));
    const [parts, whole] = ['parts', 'whole'].map((out) => join(root, out)) as [string, string];
    const before = bytesRead();
    await mergeFile({ config, out: parts, memory: small });
    const ratio = (bytesRead() - before) / (3 * 2 * n);
    await mergeFile({ config, out: whole, memory: 2 ** 27 });
    const file = (out: string): Buffer => readFileSync(join(out, 'model.safetensors'));
    expect(file(parts).equals(file(whole))).toBe(true);
    expect(ratio).toBeGreaterThan(1.9);
    expect(ratio).toBeLessThan(most);
  });
});
