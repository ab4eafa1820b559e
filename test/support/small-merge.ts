// Merges of models with few tensors, for tests that look at single numbers.
import { join } from 'node:path';
import type { MergeFileResult } from '../../lib/merge/many/merge-file.js';
import type { MergeFileOptions } from '../../lib/merge/many/options.js';
import { type FloatType, load } from './merge-oracles/floats.js';
import type { OracleTensor } from './merge-oracles/oracle.js';
import { type Numbers, numbers, runMerge, type Weights, writeWeights } from './number-merge.js';
import { tempDir } from './temp.js';

type Values = Readonly<Record<string, number>>;

export interface SmallMerge {
  readonly method: string;
  /** One tensor `w`, or several by name. */
  readonly base?: Numbers | Weights;
  readonly models: readonly (Numbers | Weights)[];
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Of the models in turn. */
  readonly own?: readonly Values[];
  /** Written beside the models: `dtype`, or statistics of each model. */
  readonly rest?: Readonly<Record<string, unknown>>;
  readonly statistics?: { readonly key: 'fisher' | 'gram'; readonly of: readonly (Numbers | Weights)[] };
  readonly options?: Partial<MergeFileOptions>;
}

export interface SmallResult {
  /** The numbers of `w`. */
  readonly w: number[];
  readonly tensors: Readonly<Record<string, { dtype: string; shape: readonly number[]; data: Buffer }>>;
  readonly values: Readonly<Record<string, Float64Array>>;
  readonly nonFinite: Readonly<Record<string, number>>;
  readonly result: MergeFileResult;
}

const named = (tensors: Numbers | Weights): Weights =>
  'values' in tensors && tensors.values instanceof Float64Array
    ? { w: tensors as Numbers }
    : (tensors as Weights);

/** F32 in one row. */
export const f32 = (...values: number[]): Numbers => numbers('F32', [values.length], values);
export const bf16 = (...values: number[]): Numbers => numbers('BF16', [values.length], values);

/** Writes the models into a fresh directory and merges them. */
export async function merge(given: SmallMerge): Promise<SmallResult> {
  const root = await tempDir();
  const { method, base, models, parameters = {}, own = [], rest = {}, statistics, options } = given;
  const write = (name: string, tensors: Numbers | Weights): string =>
    writeWeights(join(root, name), named(tensors));
  const { tensors, result } = await runMerge(
    root,
    {
      merge_method: method,
      ...(base && { base_model: write('base', base) }),
      models: models.map((model, i) => ({
        model: write(`model${i}`, model),
        ...(own[i] && { parameters: own[i] }),
        ...(statistics && { [statistics.key]: write(`${statistics.key}${i}`, statistics.of[i]!) }),
      })),
      parameters,
      ...rest,
    },
    // Buffers that fit: preparing those of the default takes longer than such a merge.
    { memory: 16 * 2 ** 20, ...options },
  );
  const values = Object.fromEntries(
    [...tensors].map(([name, { data, dtype }]) => [name, load(data, dtype as FloatType)]),
  );
  return {
    w: values.w ? [...values.w] : [],
    tensors: Object.fromEntries(tensors),
    values,
    nonFinite: result.documents[0]!.nonFinite,
    result,
  };
}

/** What the oracle needs to know of tensor `w` of such a merge. */
export function oracleOf({ base, models, parameters = {}, own = [], options }: SmallMerge): OracleTensor {
  const all = [...(base ? [base] : []), ...models].map((one) => named(one).w!);
  return {
    name: 'w',
    shape: all[0]!.shape,
    ...(base && { base: named(base).w!.values }),
    inputs: models.map((model, i) => ({ x: named(model).w!.values, parameters: own[i] ?? {} })),
    parameters: parameters as Values,
    compute: all.some(({ dtype }) => dtype === 'F64') ? 'F64' : 'F32',
    depth: 0,
    seed: options?.seed ?? 0,
  };
}
