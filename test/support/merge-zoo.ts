// Models with one tensor of every kind that a merge method may meet.
import { join } from 'node:path';
import type { FloatType } from './merge-oracles/floats.js';
import type { OracleTensor } from './merge-oracles/oracle.js';
import { countOf, type Numbers, numbers, type Weights, writeWeights } from './number-merge.js';
import { randomWords } from './random.js';

interface Kind {
  readonly shape: readonly number[];
  /** Of the base, or of all. */
  readonly dtype: FloatType;
  /** Of the models, in turn. */
  readonly dtypes?: readonly FloatType[];
  /** Models that lack the tensor, by number. */
  readonly absent?: readonly number[];
  /** No model differs from the base. */
  readonly untouched?: boolean;
  /** For LiNeS: 0 before the layers, 1 after them. */
  readonly depth: number;
}

const layer = (index: number, name: string): string => `model.layers.${index}.${name}`;

export const kinds: Readonly<Record<string, Kind>> = {
  'model.embed_tokens.weight': { shape: [37, 16], dtype: 'BF16', depth: 0 },
  [layer(0, 'matrix')]: { shape: [7, 11], dtype: 'F32', depth: 0 },
  [layer(0, 'vector')]: { shape: [37], dtype: 'F32', depth: 0 },
  [layer(0, 'scalar')]: { shape: [], dtype: 'F32', depth: 0 },
  [layer(0, 'empty')]: { shape: [0, 5], dtype: 'F32', depth: 0 },
  [layer(1, 'cube')]: { shape: [5, 7, 3], dtype: 'BF16', depth: 0.5 },
  [layer(1, 'half')]: { shape: [13, 17], dtype: 'F16', depth: 0.5 },
  [layer(1, 'double')]: { shape: [9, 21], dtype: 'F64', depth: 0.5 },
  [layer(1, 'mixed')]: { shape: [15, 9], dtype: 'F32', dtypes: ['BF16', 'F16', 'F32'], depth: 0.5 },
  [layer(1, 'wide')]: { shape: [8, 13], dtype: 'BF16', dtypes: ['F64', 'BF16', 'F32'], depth: 0.5 },
  /** More than one span of 65536 elements. */
  [layer(2, 'span')]: { shape: [3, 22001], dtype: 'F32', depth: 1 },
  /** One row of more than a span; and more than a chunk holds, with the least memory, where rows do not count. */
  [layer(2, 'long')]: { shape: [66_014], dtype: 'BF16', absent: [1, 3, 4], depth: 1 },
  [layer(2, 'column')]: { shape: [23, 1], dtype: 'F32', depth: 1 },
  [layer(2, 'missing')]: { shape: [19, 5], dtype: 'F32', absent: [1, 3], depth: 1 },
  [layer(2, 'untouched')]: { shape: [6, 6], dtype: 'F32', untouched: true, depth: 1 },
  'lm_head.weight': { shape: [37, 16], dtype: 'BF16', depth: 1 },
};

/** Numbers as of a normal distribution, from 32 random bits and the sum of twelve. */
export function normal(count: number, seed: number, deviation: number): Float64Array {
  const next = randomWords(seed);
  return Float64Array.from({ length: count }, () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += next() / 2 ** 32;
    return sum * deviation;
  });
}

const modelCount = 5;

/** The base, models that were fine-tuned from it (a tenth of the elements untouched), and their statistics. */
export interface Zoo {
  readonly base: Weights;
  readonly models: readonly Weights[];
  readonly fisher: readonly Weights[];
  readonly gram: readonly Weights[];
}

export function makeZoo(): Zoo {
  const base: Record<string, Numbers> = {};
  const models = Array.from({ length: modelCount }, (): Record<string, Numbers> => ({}));
  const fisher = models.map((): Record<string, Numbers> => ({}));
  const gram = models.map((): Record<string, Numbers> => ({}));
  for (const [k, [name, kind]] of Object.entries(kinds).entries()) {
    const { shape, dtype, dtypes = [dtype], absent = [], untouched = false } = kind;
    const count = countOf(shape);
    base[name] = numbers(dtype, shape, normal(count, 100 + k, 0.05));
    for (const [i, model] of models.entries()) {
      const seed = 1000 * (i + 1) + k;
      const change = normal(count, seed, 0.02 / (i + 1));
      const next = randomWords(seed + 500);
      const values = base[name].values.map((b, e) => (untouched || next() % 10 === 0 ? b : b + change[e]!));
      if (absent.includes(i)) continue;
      model[name] = numbers(untouched ? dtype : dtypes[i % dtypes.length]!, shape, values);
      // Some weights that nothing is known of.
      fisher[i]![name] = numbers(
        'F32',
        shape,
        normal(count, seed + 600, 1).map((v) => (v < -1 ? 0 : v * v * 1e-3)),
      );
      if (shape.length === 2 && count > 0 && count < 300 && !name.includes('column')) {
        gram[i]![name] = numbers('F32', [shape[1]!, shape[1]!], gramOf(shape[1]!, seed + 700));
      }
    }
  }
  return { base, models, fisher, gram };
}

/** XᵀX of random inputs. */
function gramOf(n: number, seed: number): Float64Array {
  const samples = 2 * n;
  const x = normal(samples * n, seed, 1);
  const sums = new Float64Array(n * n);
  for (let s = 0; s < samples; s++) {
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sums[i * n + j]! += x[s * n + i]! * x[s * n + j]!;
  }
  return sums;
}

/** Writes all of it below `root`; gives the directories. */
export function writeZoo(root: string, zoo: Zoo) {
  const all = (name: string, list: readonly Weights[]): string[] =>
    list.map((weights, i) => writeWeights(join(root, `${name}${i}`), weights));
  return {
    base: writeWeights(join(root, 'base'), zoo.base),
    models: all('model', zoo.models),
    fisher: all('fisher', zoo.fisher),
    gram: all('gram', zoo.gram),
  };
}

/** What an oracle needs of one tensor; `which` of the models take part, with their parameters. */
export function oracleTensor(
  name: string,
  zoo: Zoo,
  merge: {
    readonly base: boolean;
    readonly which: readonly number[];
    readonly own: readonly Readonly<Record<string, number>>[];
    readonly parameters: Readonly<Record<string, number>>;
    readonly statistics?: 'fisher' | 'gram';
    readonly seed: number;
  },
): OracleTensor & { readonly dtype: FloatType } {
  const present = merge.which.flatMap((model, i) => {
    const tensor = zoo.models[model]![name];
    return tensor ? [{ tensor, model, parameters: merge.own[i] ?? {} }] : [];
  });
  const base = merge.base ? zoo.base[name]! : undefined;
  const all = [...(base ? [base] : []), ...present.map(({ tensor }) => tensor)];
  return {
    name,
    shape: kinds[name]!.shape,
    dtype: all[0]!.dtype,
    ...(base && { base: base.values }),
    inputs: present.map(({ tensor: { values }, model, parameters }) => {
      const statistics = merge.statistics && zoo[merge.statistics][model]![name];
      return { x: values, parameters, ...(statistics && { statistics: statistics.values }) };
    }),
    parameters: merge.parameters,
    compute: all.some(({ dtype }) => dtype === 'F64') ? 'F64' : 'F32',
    depth: kinds[name]!.depth,
    seed: merge.seed,
  };
}
