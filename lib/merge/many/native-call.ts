import { WisemergeError } from '../../errors.js';
import type { NativeMethod } from '../../native/merge.js';
import type { ResolvedTensor } from '../config/resolved.js';
import type { ParameterValues } from '../methods/spec.js';

/** How the native stream makes one tensor. Inputs are numbered as in `inputs`. */
export interface NativeCall {
  readonly method: NativeMethod;
  readonly row: number;
  readonly parameters: readonly number[];
  /** In the order in which the native method takes them. */
  readonly inputs: readonly NativeInput[];
  /** Index of the base among `inputs`. */
  readonly base?: number;
}

/** The base, an input of the resolved tensor, or an input's statistics. */
export interface NativeInput {
  readonly of: 'base' | 'statistics' | number;
  /** Whose statistics. */
  readonly input?: number;
  readonly parameters: readonly number[];
}

/** In the order of native/merge/methods/task_vectors.cc. */
export const sparsifiers = { none: 0, magnitude: 1, random: 2, outliers: 3, magprune: 4 };
type Sparsifier = keyof typeof sparsifiers;

interface TaskMethod {
  readonly sparsifier: Sparsifier;
  readonly consensus: boolean;
}

const taskMethods: Readonly<Record<string, TaskMethod>> = {
  task_arithmetic: { sparsifier: 'none', consensus: false },
  ties: { sparsifier: 'magnitude', consensus: true },
  dare_linear: { sparsifier: 'random', consensus: false },
  dare_ties: { sparsifier: 'random', consensus: true },
  breadcrumbs: { sparsifier: 'outliers', consensus: false },
  breadcrumbs_ties: { sparsifier: 'outliers', consensus: true },
  della: { sparsifier: 'magprune', consensus: true },
  della_linear: { sparsifier: 'magprune', consensus: false },
};

/**
 * The native method, its view and its numbers for a resolved tensor of `shape`. A model without weight is
 * absent, and what is left of one model alone is a copy of it.
 */
export function nativeCall(tensor: ResolvedTensor, shape: readonly number[]): NativeCall {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const maker = count === 0 ? () => copyOf(firstOf(tensor)) : makerOf(tensor.kernel);
  const call = maker(tensor, shape);
  return { ...call, row: Math.max(call.row ?? count, 1) };
}

function makerOf(kernel: string): Maker {
  const maker = calls[kernel] ?? (Object.hasOwn(taskMethods, kernel) ? taskCall : undefined);
  if (maker) return maker;
  throw new WisemergeError('ERR_USAGE', `merge_method ${kernel} cannot be carried out by this version`, {
    hint: 'It is read and explained; choose another method to merge with.',
  });
}

/** Without `row`, the whole tensor is one. */
type RowlessCall = Omit<NativeCall, 'row'> & { readonly row?: number };
type Maker = (tensor: ResolvedTensor, shape: readonly number[]) => RowlessCall;

function copyOf(of: NativeInput['of']): RowlessCall {
  return { method: 'copy', parameters: [], inputs: [{ of, parameters: [] }] };
}

const firstOf = ({ inputs, base }: ResolvedTensor): NativeInput['of'] =>
  inputs.length === 0 && base ? 'base' : 0;

/** Inputs in order, each with the given of its parameters; the base first where there is one. */
function withBase(
  { inputs, base }: ResolvedTensor,
  own: (values: ParameterValues) => readonly number[],
): { inputs: NativeInput[]; base?: number } {
  const models = inputs.map(({ parameters }, i) => ({ of: i, parameters: own(parameters) }));
  if (!base) return { inputs: models };
  // The base has as many numbers as a model, without a meaning.
  const filler = (models[0]?.parameters ?? []).map(() => 0);
  return { inputs: [{ of: 'base', parameters: filler }, ...models], base: 0 };
}

const none = (): readonly number[] => [];
const lastAxis = (shape: readonly number[]): number => shape.at(-1) ?? 1;
const product = (shape: readonly number[]): number => shape.reduce((all, dim) => all * dim, 1);
/** Elements under one index of axis 0; a vector is one row. */
const underFirst = (shape: readonly number[]): number =>
  shape.length < 2 ? product(shape) : product(shape) / shape[0]!;

/** Models with a weight: the others are not read, whatever they hold. */
const weighty = ({ inputs }: ResolvedTensor): { i: number; weight: number }[] =>
  inputs.flatMap(({ parameters: { weight } }, i) => (weight === 0 ? [] : [{ i, weight: weight! }]));

const linear: Maker = (tensor) => {
  const present = weighty(tensor);
  const { normalize } = tensor.parameters;
  if (present.length === 1 && (normalize || present[0]!.weight === 1)) return copyOf(present[0]!.i);
  const used = present.length > 0 ? present : [{ i: 0, weight: 0 }];
  return {
    method: 'linear',
    parameters: [normalize!],
    inputs: used.map(({ i, weight }) => ({ of: i, parameters: [weight] })),
  };
};

const calls: Readonly<Record<string, Maker>> = {
  linear,
  passthrough: (tensor) => {
    const scale = tensor.inputs[0]!.parameters.scale;
    if (scale === undefined || scale === 1) return copyOf(0);
    return { method: 'linear', parameters: [0], inputs: [{ of: 0, parameters: [scale] }] };
  },
  wise_ft: (tensor) => {
    const alpha = tensor.parameters.alpha!;
    return tensor.inputs.length === 0 ? copyOf('base') : deltas([alpha], 1);
  },
  slerp: (tensor) => {
    const { t } = tensor.parameters;
    if (tensor.inputs.length === 0 || t === 0) return copyOf('base');
    return t === 1 ? copyOf(0) : plain('slerp', tensor, ['t']);
  },
  nuslerp: (tensor, shape) => {
    const { nuslerp_flatten: flatten, nuslerp_row_wise: columns } = tensor.parameters;
    const axis = flatten || shape.length < 2 ? 0 : columns ? 2 : 1;
    if (tensor.inputs.length < 2) return alone(tensor)!;
    const weights = tensor.inputs.map(({ parameters: { weight } }) => weight!);
    // At either end; weights that cancel out are halves.
    const end = weights.indexOf(0);
    if (end >= 0 && Math.abs(weights[1 - end]!) >= 1e-6) return copyOf(1 - end);
    return {
      method: axis === 0 ? 'nuslerp' : 'nuslerp_vectors',
      parameters: [axis, 0],
      ...(axis > 0 && { row: axis === 1 ? lastAxis(shape) : underFirst(shape) }),
      ...withBase(tensor, ({ weight }) => [weight!]),
    };
  },
  multislerp: (tensor) => {
    const { normalize_weights: normalize, eps } = tensor.parameters;
    const present = weighty(tensor);
    if (present.length === 1 && normalize) return copyOf(present[0]!.i);
    const all = withBase(tensor, ({ weight }) => [weight!]);
    // What is left of one model is its weight times it, where one model alone is returned.
    const inputs = all.inputs.filter(({ of, parameters: [weight] }) => of === 'base' || weight !== 0);
    const some = present.length > 1 ? { ...all, inputs } : all;
    return alone(tensor) ?? { method: 'multislerp', parameters: [normalize!, eps!], ...some };
  },
  karcher: (tensor) => alone(tensor) ?? plain('karcher', tensor, ['max_iter', 'tol']),
  model_stock: (tensor, shape) => {
    if (tensor.inputs.length === 0) return copyOf('base');
    const rows = tensor.parameters.filter_wise! !== 0 && shape.length > 1;
    return {
      ...plain('model_stock', tensor, []),
      parameters: [Number(rows)],
      ...(rows && { method: 'model_stock_rows' as const, row: lastAxis(shape) }),
    };
  },
  sce: (tensor) => plain('sce', tensor, ['select_topk']),
  ram: (tensor) => ({ ...plain('ram', tensor, []), parameters: [tensor.parameters.epsilon!, 0, 0] }),
  ramplus_tl: (tensor) => plain('ram', tensor, ['epsilon', 'r', 'alpha']),
  nearswap: (tensor) => plain('nearswap', tensor, ['t']),
  arcee_fusion: (tensor, shape) => ({ ...plain('arcee_fusion', tensor, []), row: lastAxis(shape) }),
  warp: (tensor) => (tensor.parameters.eta === 0 ? copyOf('base') : plain('warp', tensor, ['eta'])),
  fisher: (tensor) => withStatistics('fisher', tensor, tensor.parameters.epsilon!),
  regmean: (tensor, shape) => ({
    ...withStatistics('regmean', tensor, tensor.parameters.alpha!),
    row: lastAxis(shape),
  }),
};

/** One model alone, of a method between several, is returned; where there is none, the base. */
function alone({ inputs }: ResolvedTensor): RowlessCall | undefined {
  if (inputs.length === 0) return copyOf('base');
  return inputs.length === 1 ? copyOf(0) : undefined;
}

function plain(method: NativeMethod, tensor: ResolvedTensor, names: readonly string[]): RowlessCall {
  if (tensor.inputs.length === 0) return copyOf('base');
  return { method, parameters: names.map((name) => tensor.parameters[name]!), ...withBase(tensor, none) };
}

/** The models that have a weight, then the statistics of each. */
function withStatistics(method: NativeMethod, tensor: ResolvedTensor, parameter: number): RowlessCall {
  const present = weighty(tensor);
  if (present.length === 1) return copyOf(present[0]!.i);
  return {
    method,
    parameters: [parameter],
    inputs: [
      ...present.map(({ i, weight }) => ({ of: i, parameters: [weight] })),
      ...present.map(({ i }) => ({ of: 'statistics' as const, input: i, parameters: [0] })),
    ],
  };
}

/** base + lambda times the weighted sum of the deltas. */
function deltas(weights: readonly number[], lambda: number): RowlessCall {
  const present = weights.flatMap((weight, i) => (weight * lambda === 0 ? [] : [{ i, weight }]));
  if (present.length === 0) return copyOf('base');
  if (present.length === 1 && present[0]!.weight * lambda === 1) return copyOf(present[0]!.i);
  return {
    method: 'task_vectors',
    parameters: [sparsifiers.none, 0, 0, 0, lambda],
    inputs: [
      { of: 'base', parameters: [0, 0, 0] },
      ...present.map(({ i, weight }) => ({ of: i, parameters: [weight, 1, 0] })),
    ],
    base: 0,
  };
}

const taskCall: Maker = (tensor, shape) => {
  const { sparsifier, consensus } = taskMethods[tensor.kernel]!;
  const { normalize = 0, rescale = 0, lambda = 1 } = tensor.parameters;
  // Also where there is no model at all.
  if (weighty(tensor).length === 0) return copyOf('base');
  if (tensor.kernel === 'task_arithmetic' && !normalize) {
    return deltas(
      tensor.inputs.map(({ parameters }) => parameters.weight!),
      lambda,
    );
  }
  const rows = sparsifier === 'magprune';
  return {
    method: rows ? 'task_vectors_rows' : 'task_vectors',
    ...(rows && { row: underFirst(shape) }),
    parameters: [sparsifiers[sparsifier], Number(consensus), normalize, rescale, lambda],
    ...withBase(tensor, ({ weight, density = 1, gamma, epsilon }) => [
      weight!,
      density,
      gamma ?? epsilon ?? 0,
    ]),
  };
};
