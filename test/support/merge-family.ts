import { normal } from './merge-zoo.js';
import { type Numbers, numbers } from './number-merge.js';
import { merge, type SmallMerge } from './small-merge.js';

export const shape = [24, 40];
export const count = 960;

/** The base and models; `dtype` F64 keeps roundings out of the way. */
export function family(dtype: 'F64' | 'F32' | 'BF16', models = 3): Numbers[] {
  const base = normal(count, 1, 0.05);
  const changed = Array.from({ length: models }, (_, i) => {
    const change = normal(count, 20 + i, 0.02 / (i + 1));
    return base.map((b, e) => b + change[e]!);
  });
  return [base, ...changed].map((values) => numbers(dtype, shape, values));
}

export type Settings = Pick<SmallMerge, 'own' | 'parameters'> & {
  readonly base?: boolean;
  readonly models?: number;
  readonly statistics?: 'fisher' | 'gram';
};

export const w = [0.3137, 0.7193, 0.4143];
export const weights = w.map((weight) => ({ weight }));
export const sparse = w.map((weight, i) => ({ weight, density: [0.5, 0.3, 0.7][i]! }));
export const base = true;

/** All methods with numbers that let every part of the formula count. */
export const settings: Readonly<Record<string, Settings>> = {
  wise_ft: { base, models: 1, parameters: { alpha: 0.3 } },
  linear: { own: weights },
  uniform_soup: {},
  fisher: { own: weights, statistics: 'fisher' },
  regmean: { own: weights, statistics: 'gram' },
  slerp: { base, models: 1, parameters: { t: 0.3 } },
  nuslerp: { models: 2, own: weights },
  multislerp: { own: weights },
  karcher: {},
  task_arithmetic: { base, own: weights, parameters: { lambda: 0.8 } },
  ties: { base, own: sparse },
  dare_linear: { base, own: sparse },
  dare_ties: { base, own: sparse },
  breadcrumbs: { base, own: sparse },
  breadcrumbs_ties: { base, own: sparse },
  della: { base, own: sparse },
  della_linear: { base, own: sparse },
  negation: { base, own: weights },
  lines: { base, own: weights, parameters: { alpha: 0.4, beta: 0.6 } },
  ema: { base, parameters: { rate: 0.3 } },
  warp: { base, parameters: { eta: 0.7 } },
  model_stock: { base },
  sce: { base, parameters: { select_topk: 0.4 } },
  ram: { base, parameters: { epsilon: 0.004 } },
  ramplus_tl: { base, parameters: { epsilon: 0.004 } },
  nearswap: { base, models: 1, parameters: { t: 0.004 } },
  arcee_fusion: { base, models: 1 },
  passthrough: { models: 1 },
};

export const square = (n: number, seed: number): Float64Array => {
  const x = normal(3 * n * n, seed, 1);
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let sum = 0;
    for (let s = 0; s < 3 * n; s++) sum += x[s * n + i]! * x[s * n + j]!;
    return sum;
  });
};
export const fisher = (seed: number): Numbers =>
  numbers(
    'F32',
    shape,
    normal(count, seed, 1e-2).map((v) => v * v),
  );
export const gram = (seed: number): Numbers => numbers('F32', [40, 40], square(40, seed));

/** The method over models with their own parameters and statistics, in the order of `which`. */
export function given(
  method: string,
  [first, ...tuned]: readonly Numbers[],
  which?: readonly number[],
  change: Settings = {},
): SmallMerge {
  const {
    base: based,
    models = 3,
    own = [],
    parameters = {},
    statistics,
  } = { ...settings[method]!, ...change };
  const order = which ?? Array.from({ length: models }, (_, i) => i);
  return {
    method,
    ...(based && { base: first! }),
    models: order.map((i) => tuned[i]!),
    own: own.length > 0 ? order.map((i) => own[i]!) : [],
    parameters,
    ...(statistics && {
      statistics: { key: statistics, of: order.map((i) => (statistics === 'gram' ? gram : fisher)(40 + i)) },
    }),
  };
}

export const run = async (...args: Parameters<typeof given>) => (await merge(given(...args))).w;
export const bytes = async (...args: Parameters<typeof given>) =>
  (await merge(given(...args))).tensors.w!.data;
