// Runs merge files over models that a test holds as numbers.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type MergeFileResult, mergeFile } from '../../lib/merge/many/merge-file.js';
import type { MergeFileOptions } from '../../lib/merge/many/options.js';
import { planMergeFile } from '../../lib/merge/many/plan-file.js';
import { type FloatType, roundAll, store } from './merge-oracles/floats.js';
import { readModel, writeModel } from './models.js';
import type { StoredTensor } from './safetensors.js';

/** A tensor as numbers that its dtype holds. */
export interface Numbers {
  readonly dtype: FloatType;
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export type Weights = Readonly<Record<string, Numbers>>;

export const countOf = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

/** Numbers rounded to `dtype`. */
export function numbers(dtype: FloatType, shape: readonly number[], values: ArrayLike<number>): Numbers {
  if (values.length !== countOf(shape)) throw new Error(`${values.length} values for [${shape}]`);
  return { dtype, shape, values: roundAll(Float64Array.from(values), dtype) };
}

/** Writes a model; gives its directory. */
export function writeWeights(directory: string, weights: Weights): string {
  const tensors = Object.entries(weights).map(([name, { dtype, shape, values }]) => {
    return { name, dtype, shape, data: store(values, dtype) };
  });
  return writeModel(directory, tensors, { config: { model_type: 'x' } });
}

type Parameters = Readonly<Record<string, unknown>>;

/** A merge file as data; models are paths. */
export interface MergeFileText {
  readonly merge_method: string;
  readonly base_model?: string;
  readonly models?: readonly { readonly model: string; readonly parameters?: Parameters }[];
  readonly [key: string]: unknown;
}

/** Writes it (JSON is YAML) and carries it out in `root`; gives the tensors and the result. */
export async function runMerge(
  root: string,
  text: MergeFileText,
  options: Partial<MergeFileOptions> = {},
): Promise<{ tensors: Map<string, StoredTensor>; result: MergeFileResult }> {
  const config = join(root, 'merge.yml');
  const out = join(root, 'merged');
  writeFileSync(config, JSON.stringify(text));
  rmSync(out, { recursive: true, force: true });
  const result = await mergeFile({ config, out, threads: 1, ...options });
  return { tensors: readModel(out), result };
}

/** The least memory with which a merge file can be carried out. */
export async function leastMemory(root: string, text: MergeFileText): Promise<number> {
  const config = join(root, 'merge.yml');
  writeFileSync(config, JSON.stringify(text));
  const given = { config, out: join(root, 'merged'), memory: 4 * 2 ** 20 };
  const error = await planMergeFile(given).then(
    () => undefined,
    (one: Error) => one,
  );
  const bytes = /needs (\d+)/.exec(error?.message ?? '')?.[1];
  if (bytes === undefined) throw error ?? new Error('4 MiB are enough');
  return Number(bytes);
}
