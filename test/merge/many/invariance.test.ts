// No byte of a result depends on threads, memory, SIMD level, shards, the order of tensors in a file, or how files are
// read.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Checkpoint } from '../../../lib/checkpoint/checkpoint.js';
import { ProgressMeter } from '../../../lib/checkpoint/progress.js';
import { openMergeFile } from '../../../lib/merge/config/open.js';
import type { MergeFileOptions } from '../../../lib/merge/many/options.js';
import { prepareDocument } from '../../../lib/merge/many/plan-file.js';
import { streamTensors } from '../../../lib/merge/many/tensor-stream.js';
import { Engine } from '../../../lib/native.js';
import { type FloatType, store } from '../../support/merge-oracles/floats.js';
import { normal } from '../../support/merge-zoo.js';
import { readModel, writeModel, writeShards } from '../../support/models.js';
import {
  leastMemory,
  type MergeFileText,
  type Numbers,
  numbers,
  runMerge,
} from '../../support/number-merge.js';
import type { Tensor } from '../../support/safetensors.js';
import { unlessStill } from '../../support/stand-still.js';

const root = mkdtempSync(join(tmpdir(), 'wisemerge-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Longer than a span of 65536; than a chunk with the least memory, some than two. Rows that divide nothing. */
const shapes: readonly [string, FloatType, readonly number[]][] = [
  ['model.layers.0.rows', 'F32', [251, 301]],
  ['model.layers.0.vector', 'BF16', [70_003]],
  ['model.layers.1.halves', 'BF16', [201, 701]],
  ['model.layers.1.small', 'F16', [33, 3]],
  ['model.layers.1.wide', 'F64', [131, 503]],
];
const modelCount = 3;

function tensorsOf(seed: number, spread: number): Tensor[] {
  return shapes.map(([name, dtype, shape], k) => {
    const count = shape.reduce((product, dim) => product * dim, 1);
    const base = normal(count, 1 + k, 0.05);
    const change = seed === 0 ? undefined : normal(count, 100 * seed + k, spread);
    const { values }: Numbers = numbers(dtype, shape, change ? base.map((b, e) => b + change[e]!) : base);
    return { name, dtype, shape, data: store(values, dtype) };
  });
}

/** The same models in one file, in three, and in the opposite order. */
const layouts = ['single', 'shards', 'reversed'] as const;
type Layout = (typeof layouts)[number];
const paths = (layout: Layout, name: string): string => join(root, layout, name);

function write(name: string, tensors: readonly Tensor[]): void {
  writeModel(paths('single', name), tensors);
  const shards = [0, 1, 2].map((part) => tensors.filter((_, k) => k % 3 === part));
  writeShards(paths('shards', name), shards, { pad: 1 });
  writeModel(paths('reversed', name), [...tensors].reverse(), { pad: 4096 });
}

beforeAll(() => {
  write('base', tensorsOf(0, 0));
  for (let i = 0; i < modelCount; i++) {
    const tensors = tensorsOf(i + 1, 0.02 / (i + 1));
    write(`m${i}`, tensors);
    const fisher = tensors.map(({ name, shape }, k): Tensor => {
      const count = shape.reduce((product, dim) => product * dim, 1);
      const values = normal(count, 900 + 10 * i + k, 1e-3).map((v) => v * v);
      return { name, dtype: 'F32', shape, data: store(values.map(Math.fround), 'F32') };
    });
    write(`fisher${i}`, fisher);
    write(`gram${i}`, [gram('model.layers.0.rows', 301, i), gram('model.layers.1.small', 3, i)]);
  }
});

/** Banded and dominated by its diagonal. */
function gram(name: string, n: number, seed: number): Tensor {
  const noise = normal(n * n, 5000 + seed, 0.01);
  const values = Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    const off = noise[Math.min(i, j) * n + Math.max(i, j)]!;
    return Math.fround(i === j ? 2 + seed : Math.abs(i - j) < 20 ? off : 0);
  });
  return { name, dtype: 'F32', shape: [n, n], data: store(values, 'F32') };
}

type Values = Readonly<Record<string, unknown>>;

interface Case {
  readonly method: string;
  readonly base?: true;
  readonly models?: number;
  readonly parameters?: Values;
  readonly own?: Values;
  readonly statistics?: 'fisher' | 'gram';
}

const base = true;
const cases: readonly Case[] = [
  { method: 'linear', own: { weight: [0.2, 0.9] } },
  { method: 'slerp', base, models: 1, parameters: { t: 0.3 } },
  { method: 'nuslerp', models: 2, own: { weight: [1, 2] }, parameters: { nuslerp_flatten: false } },
  {
    method: 'nuslerp',
    base,
    models: 2,
    own: { weight: 1 },
    parameters: { nuslerp_flatten: false, nuslerp_row_wise: true },
  },
  { method: 'karcher' },
  { method: 'ties', base, own: { weight: 0.7, density: 0.3 }, parameters: { rescale: true } },
  { method: 'dare_ties', base, own: { weight: 0.7, density: 0.3 } },
  { method: 'breadcrumbs', base, own: { weight: 0.7, density: 0.4, gamma: 0.2 } },
  { method: 'della', base, own: { weight: 0.7, density: 0.4 } },
  { method: 'model_stock', base },
  { method: 'model_stock', base, parameters: { filter_wise: true } },
  { method: 'sce', base, parameters: { select_topk: 0.3 } },
  { method: 'ramplus_tl', base, parameters: { epsilon: 0.003 } },
  { method: 'arcee_fusion', base, models: 1 },
  { method: 'fisher', statistics: 'fisher' },
  { method: 'regmean', statistics: 'gram', own: { weight: 0.5 } },
];

function textOf(
  { method, base, models = modelCount, parameters = {}, own, statistics }: Case,
  layout: Layout,
) {
  return {
    merge_method: method,
    ...(base && { base_model: paths(layout, 'base') }),
    models: Array.from({ length: models }, (_, i) => ({
      model: paths(layout, `m${i}`),
      ...(own && { parameters: own }),
      ...(statistics && { [statistics]: paths(layout, `${statistics}${i}`) }),
    })),
    parameters,
  } satisfies MergeFileText;
}

it.each(cases)('$method $parameters $own', async (one) => {
  const run = async (layout: Layout, options: Partial<MergeFileOptions>) => {
    const { tensors } = await unlessStill(runMerge(root, textOf(one, layout), { seed: 11, ...options }));
    return Object.fromEntries([...tensors].map(([name, { data }]) => [name, data]));
  };
  const least = await unlessStill(leastMemory(root, textOf(one, 'single')));
  const expected = await run('single', { threads: 1 });
  const variants: readonly [Layout, Partial<MergeFileOptions>][] = [
    ['single', { threads: 1 }],
    ['single', { threads: 2, memory: least, readMode: 'direct' }],
    ['single', { threads: 4, memory: 2 ** 28, readMode: 'cached' }],
    ['shards', { threads: 2, memory: least + 2 ** 20, shardSize: 200_000 }],
    ['reversed', { threads: 4, memory: least, readMode: 'cached' }],
  ];
  for (const [layout, options] of variants) {
    const got = await run(layout, options);
    expect(Object.keys(got).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, data] of Object.entries(got)) {
      expect(data.equals(expected[name]!), `${name}, ${layout}, ${JSON.stringify(options)}`).toBe(true);
    }
  }
  // A level that the processor lacks is the best it has.
  for (const isa of ['baseline', 'avx2'] as const) {
    const got = await unlessStill(runAt(isa, textOf(one, 'single')));
    for (const [name, data] of Object.entries(expected)) {
      expect(got.get(name)!.data.equals(data), `${name}, ${isa}`).toBe(true);
    }
  }
});

/** The same on one SIMD level, which no option of a merge chooses. */
async function runAt(isa: 'baseline' | 'avx2', text: MergeFileText) {
  const [config, directory] = [join(root, 'merge.yml'), join(root, 'merged')];
  writeFileSync(config, JSON.stringify(text));
  const [opened] = await openMergeFile(config);
  const options = { config, out: join(root, 'elsewhere') };
  const prepared = await prepareDocument(opened!, opened!.models as Checkpoint[], false, options);
  const { work, layout, data, chunks } = prepared;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  using engine = new Engine({ isa, threads: 2 });
  await streamTensors(work, layout, directory, {
    models: [...data.models, ...data.statistics],
    engine,
    chunks,
    seed: 11,
    progress: new ProgressMeter(undefined),
  });
  return readModel(directory);
}
