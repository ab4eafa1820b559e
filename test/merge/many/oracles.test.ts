// Every method against an oracle in f64, from a merge file and checkpoints to the bytes of the output.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { methods } from '../../../lib/merge/methods/registry.js';
import { expectElements } from '../../support/merge-oracles/compare.js';
import type { FloatType } from '../../support/merge-oracles/floats.js';
import { oracles } from '../../support/merge-oracles/methods.js';
import { kinds, makeZoo, oracleTensor, writeZoo } from '../../support/merge-zoo.js';
import { leastMemory, type MergeFileText, runMerge } from '../../support/number-merge.js';

const root = mkdtempSync(join(tmpdir(), 'wisemerge-test-'));
const zoo = makeZoo();
let paths: ReturnType<typeof writeZoo>;
beforeAll(() => {
  paths = writeZoo(root, zoo);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

type Numbers = Readonly<Record<string, number>>;

interface Case {
  readonly method: string;
  readonly base?: boolean;
  /** Default: all five models. */
  readonly which?: readonly number[];
  readonly parameters?: Numbers;
  /** Of the models in turn. */
  readonly own?: readonly Numbers[];
  readonly statistics?: 'fisher' | 'gram';
}

/** Weights of which no few cancel out on the grid of BF16. */
const w = [0.3137, 0.7193, -0.4143, 1.1173, 0.2236];
const weights = w.map((weight) => ({ weight }));
const withDensity = (...densities: number[]): Numbers[] =>
  w.map((weight, i) => ({ weight, density: densities[i % densities.length]! }));
const pair = [0, 2];
const base = true;

const cases: readonly Case[] = [
  { method: 'wise_ft', base, which: [0], parameters: { alpha: 0.3 } },
  { method: 'wise_ft', base, which: [2], parameters: { alpha: -1.25 } },
  { method: 'linear', own: weights },
  { method: 'linear', own: weights, parameters: { normalize: 0 } },
  { method: 'linear', own: [{ weight: 0.3 }, { weight: 0.7 }], which: [0, 1] },
  { method: 'linear', own: [{ weight: 0.5 }], which: [0], parameters: { normalize: 0 } },
  { method: 'uniform_soup' },
  { method: 'fisher', statistics: 'fisher' },
  {
    method: 'fisher',
    statistics: 'fisher',
    own: [1, 2, 0.5, 0, 3].map((weight) => ({ weight })),
    parameters: { epsilon: 1e-4 },
  },
  { method: 'regmean', statistics: 'gram' },
  {
    method: 'regmean',
    statistics: 'gram',
    own: [1, 2, 0.5, 0.1, 3].map((weight) => ({ weight })),
    parameters: { alpha: 1 },
  },
  { method: 'regmean', statistics: 'gram', which: [0], parameters: { alpha: 0 } },
  { method: 'slerp', base, which: [0], parameters: { t: 0.3 } },
  { method: 'slerp', base, which: [2], parameters: { t: -0.5 } },
  ...[false, true].flatMap((base) =>
    [
      {},
      { nuslerp_flatten: 0 },
      { nuslerp_flatten: 0, nuslerp_row_wise: 1 },
      { nuslerp_flatten: 1, nuslerp_row_wise: 1 },
    ].map((parameters) => ({
      method: 'nuslerp',
      base,
      which: pair,
      own: [{ weight: 0.4 }, { weight: 1.1 }],
      parameters,
    })),
  ),
  { method: 'multislerp', own: weights },
  { method: 'multislerp', base, own: weights },
  { method: 'multislerp', base, own: weights, parameters: { normalize_weights: 0, eps: 1e-4 } },
  { method: 'karcher' },
  { method: 'karcher', parameters: { max_iter: 2, tol: 1e-9 } },
  { method: 'karcher', which: [1], parameters: {} },
  { method: 'task_arithmetic', base, own: weights },
  { method: 'task_arithmetic', base, own: weights, parameters: { normalize: 1, lambda: 0.7 } },
  { method: 'ties', base, own: withDensity(0.3, 0.5, 0.77, 1, 0.05) },
  { method: 'ties', base, own: withDensity(0.2), parameters: { rescale: 1, lambda: 1.4 } },
  { method: 'ties', base, own: withDensity(0.2), parameters: { normalize: 0 } },
  { method: 'ties', base, which: [1], own: [{ weight: 0.6, density: 0.5 }] },
  { method: 'dare_linear', base, own: withDensity(0.5, 0.1, 0.9, 1, 0.33) },
  { method: 'dare_linear', base, own: withDensity(0.4), parameters: { rescale: 0, normalize: 1 } },
  { method: 'dare_ties', base, own: withDensity(0.5, 0.1, 0.9, 1, 0.33) },
  { method: 'dare_ties', base, own: withDensity(0.4), parameters: { rescale: 0, normalize: 1 } },
  { method: 'breadcrumbs', base, own: withDensity(0.5, 0.1, 0.9, 1, 0.33) },
  {
    method: 'breadcrumbs',
    base,
    own: [0, 0.05, 0.2, 0.4, 1].map((gamma, i) => ({ weight: w[i]!, density: 0.5, gamma })),
    parameters: { rescale: 1 },
  },
  { method: 'breadcrumbs_ties', base, own: withDensity(0.5, 0.1, 0.9, 1, 0.33) },
  { method: 'breadcrumbs_ties', base, own: withDensity(0.6), parameters: { normalize: 1, rescale: 1 } },
  { method: 'della', base, own: withDensity(0.5, 0.2, 0.8, 1, 0.33) },
  {
    method: 'della',
    base,
    own: [0.1, 0.2, 0.01, 0, 0.15].map((epsilon, i) => ({ weight: w[i]!, density: 0.5, epsilon })),
    parameters: { rescale: 0, normalize: 0 },
  },
  { method: 'della_linear', base, own: withDensity(0.5, 0.2, 0.8, 1, 0.33) },
  { method: 'negation', base, own: weights, parameters: { lambda: 0.6 } },
  { method: 'lines', base, own: weights, parameters: { alpha: 0.2, beta: 0.9 } },
  { method: 'ema', base, parameters: { rate: 0.3 } },
  { method: 'warp', base },
  { method: 'warp', base, parameters: { eta: 0.3 } },
  { method: 'model_stock', base },
  { method: 'model_stock', base, parameters: { filter_wise: 1 } },
  { method: 'sce', base },
  { method: 'sce', base, parameters: { select_topk: 0.3 } },
  { method: 'ram', base },
  { method: 'ram', base, which: [3], parameters: { epsilon: 0.003 } },
  { method: 'ramplus_tl', base, parameters: { epsilon: 0.005 } },
  { method: 'ramplus_tl', base, parameters: { r: 2, alpha: 5, epsilon: 0.01 } },
  { method: 'nearswap', base, which: [0], parameters: { t: 0.004 } },
  { method: 'arcee_fusion', base, which: [0] },
  { method: 'passthrough', which: [2] },
  { method: 'passthrough', which: [2], own: [{ scale: -0.75 }] },
];

const compact = (values: unknown): string => JSON.stringify(values).replaceAll('"', '');
const titled = cases.map((one): [string, Case] => {
  const { method, base, which, parameters = {}, own = [] } = one;
  const parts = [base ? 'base' : '', which ? `models ${which}` : '', compact(parameters), compact(own)];
  return [[method, ...parts.filter((part) => part && !/^(\{\}|\[\])$/.test(part))].join(' '), one];
});

describe('end to end, with the least memory', () => {
  it.each(titled)('%s', async (_, { method, base = false, which = [0, 1, 2, 3, 4], ...rest }) => {
    const { parameters = {}, own = [], statistics } = rest;
    const seed = 7;
    const text: MergeFileText = {
      merge_method: method,
      ...(base && { base_model: paths.base }),
      models: which.map((model, i) => ({
        model: paths.models[model]!,
        ...(own[i] && { parameters: own[i] }),
        ...(statistics && { [statistics]: paths[statistics][model]! }),
      })),
      parameters,
    };
    const memory = await leastMemory(root, text);
    const { tensors } = await runMerge(root, text, { seed, memory });
    const names = Object.keys(kinds).filter(
      (name) => base || which.some((model) => zoo.models[model]![name]),
    );
    expect([...tensors.keys()].sort()).toEqual(names.sort());
    for (const name of names) {
      const given = { base, which, own, parameters, seed, ...(statistics && { statistics }) };
      const { dtype, ...tensor } = oracleTensor(name, zoo, given);
      const stored = tensors.get(name)!;
      expect([stored.dtype, stored.shape], name).toEqual([dtype, tensor.shape]);
      // What no model but the base has is the base.
      const expected =
        tensor.inputs.length === 0
          ? { value: tensor.base!, scale: new Float64Array(tensor.base!.length) }
          : oracles[method]!(tensor);
      expectElements(name, stored.data, dtype as FloatType, expected, {
        models: tensor.inputs.length,
        compute: tensor.compute,
      });
    }
  });
});

it('has an oracle for every method, and a case', () => {
  const names = methods.map(({ name }) => name).sort();
  expect(Object.keys(oracles).sort()).toEqual(names);
  expect([...new Set(cases.map(({ method }) => method))].sort()).toEqual(names);
});
