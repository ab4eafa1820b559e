import { dtypeInfo, itemSize, type TensorInfo } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';
import type { ResolvedMerge, ResolvedTensor } from '../config/resolved.js';
import { rowTable } from '../config/row-tables.js';
import type { Vocabulary } from '../tokenizer/plan.js';
import { isIdentity, type NativeRowMap, toNativeRowMap } from '../tokenizer/rows.js';
import { vocabularyAxis } from '../vocabulary-tensors.js';
import { type ChunkNeed, loadedBytes } from './chunks.js';
import { compatCall, type StoredDtypes } from './compat.js';
import { type ModelData, type RowGather, sourceCount, type TensorSource } from './model-data.js';
import { type NativeCall, nativeCall, sparsifiers } from './native-call.js';

/** Models and statistics of a merge, in its order. */
export interface MergeData {
  readonly models: readonly ModelData[];
  readonly statistics: readonly ModelData[];
}

/** An output tensor with all it takes to make it. */
export interface TensorWork {
  readonly name: string;
  /** The name by which random masks are drawn, if not its own: that of the embedding to which it is tied. */
  readonly drawnAs?: string;
  readonly call: NativeCall;
  /** In the order of `call.inputs`. */
  readonly sources: readonly TensorSource[];
  /** Elements of the output. */
  readonly count: number;
}

/** Everything that the native stream is told of all tensors, by name. */
export function mergeWork(
  { tensors, dtype }: ResolvedMerge,
  data: MergeData,
  vocabulary: Vocabulary | undefined,
  compat: boolean,
): Map<string, TensorWork> {
  const rows = vocabulary && new RowGathers(vocabulary, data.models);
  const callOf: CallOf = compat
    ? (tensor, stored) => compatCall(tensor, stored, dtype)
    : (tensor) => nativeCall(tensor, tensor.shape);
  return new Map(tensors.map((tensor) => [tensor.name, tensorWork(tensor, data, rows, callOf)]));
}

type CallOf = (tensor: ResolvedTensor, stored: StoredDtypes) => NativeCall;

function tensorWork(
  tensor: ResolvedTensor,
  { models, statistics }: MergeData,
  rows: RowGathers | undefined,
  callOf: CallOf,
): TensorWork {
  const sourceOf = ({ model, tensor: name }: { model: number; tensor: string }): TensorSource => {
    const source = models[model]!.source(name);
    const gather = tensor.remapped && rows?.gather(tensor, model, source);
    return gather ? { ...source, gather } : source;
  };
  const inputs = tensor.inputs.map(sourceOf);
  const base = tensor.base && sourceOf(tensor.base);
  const dtypes = inputs.map((one) => one.tensor.dtype);
  const call = callOf(tensor, { inputs: dtypes, ...(base && { base: base.tensor.dtype }) });
  const sources = call.inputs.map(({ of, input }): TensorSource => {
    if (of === 'base') return base!;
    if (of === 'statistics') {
      const reference = tensor.inputs[input!]!.statistics!;
      return statistics[reference.model]!.source(reference.tensor);
    }
    return inputs[of]!;
  });
  checkShapes(
    tensor.name,
    sources.filter((_, i) => call.inputs[i]!.of !== 'statistics'),
  );
  const count = sources[0] ? sourceCount(sources[0]) : 0;
  return { name: tensor.name, call, sources, count, ...(tensor.twin && { drawnAs: tensor.twin }) };
}

/** The rows of an output vocabulary for each model's tensors. */
class RowGathers {
  readonly #vocabulary: Vocabulary;
  readonly #models: readonly ModelData[];
  readonly #maps = new Map<number, NativeRowMap>();

  constructor(vocabulary: Vocabulary, models: readonly ModelData[]) {
    this.#vocabulary = vocabulary;
    this.#models = models;
  }

  /** Undefined where the model's rows are those of the output already. */
  gather(output: ResolvedTensor, model: number, own: TensorSource): RowGather | undefined {
    const map = this.#vocabulary.maps[model]!;
    const axis = vocabularyAxis(output.name, output.shape)!;
    if (isIdentity(map, own.tensor.shape[axis]!)) return undefined;
    const { name, dtype, file } = own.tensor;
    if (dtypeInfo(dtype).kind !== 'float') {
      throw new WisemergeError(
        'ERR_DTYPE_MISMATCH',
        `"${name}" is ${dtype}; rows of floats can be rearranged`,
        {
          ...{ tensor: name, file, hint: 'Take tokenizer source base, or save the embedding as floats.' },
        },
      );
    }
    const numbers = this.#maps.get(model) ?? toNativeRowMap(map, model);
    this.#maps.set(model, numbers);
    const tables = numbers.models.map((of) => {
      const data = this.#models[of]!;
      return data.source(rowTable(output, of, data.checkpoint)!.name);
    });
    return { map: numbers, tables, axis };
  }
}

/** Headers were checked; what replaces tensors (adapters, statistics) is checked here. */
function checkShapes(name: string, sources: readonly TensorSource[]): void {
  const [first] = sources;
  const other = sources.find((source) => sourceCount(source) !== sourceCount(first!));
  if (!other) return;
  const say = (source: TensorSource): string => `${sourceCount(source)} elements in ${source.tensor.file}`;
  throw new WisemergeError('ERR_SHAPE_MISMATCH', `"${name}": ${say(first!)}, ${say(other)}`, {
    tensor: name,
    file: other.tensor.file,
  });
}

/** What a chunk must hold of it. */
export function chunkNeed({ name, call, sources, count }: TensorWork, dtype: TensorInfo['dtype']): ChunkNeed {
  const { method, row } = call;
  // The matrices of regression are read apart.
  const inputs = method === 'regmean' ? sources.slice(0, sources.length / 2) : sources;
  const itemBytes = inputs.reduce(
    (most, { tensor, addend }) => Math.max(most, loadedBytes(tensor.dtype, addend !== undefined)),
    itemSize(dtype),
  );
  const rows =
    method.endsWith('_rows') ||
    method === 'nuslerp_vectors' ||
    method === 'arcee_fusion' ||
    method === 'regmean';
  return {
    ...{ name, inputs: inputs.length, itemBytes, row: rows ? row : 0, count },
    ...{ own: ownBytes(call, count), tables: tableBytes(call, count) },
  };
}

/** What a method holds besides chunks, in bytes. */
export function ownBytes({ method, row }: Pick<NativeCall, 'method' | 'row'>, count: number): number {
  const numbers = 8 * Math.min(count, 2 ** 20);
  if (method === 'noise') return numbers;
  // The factor of its system, blocks of matrices, and two numbers per element of a chunk.
  return method === 'regmean' ? 8 * row * row + 1024 * row + 2 * numbers : 0;
}

/** Counts of one digit of the keys, and of which range they are (native/merge/ranks.cc). */
const countBytes = 2 ** 19;
/** A rank takes counts of its first digit and of the last ones under three guesses. */
const rankBytes = 4 * countBytes + 2 ** 20;
/** Up to this, masks of a whole tensor are kept (native/merge/methods/task_vectors.cc). */
const maskBytes = 2 ** 24;

/** Tables and masks that a method makes for one tensor, in bytes. */
function tableBytes({ method, parameters, inputs, base }: NativeCall, count: number): number {
  const models = inputs.filter((_, i) => i !== base).length;
  if (method === 'sce') return parameters[0]! < 1 ? rankBytes : 0;
  if (method === 'arcee_fusion') return 3 * rankBytes;
  if (!method.startsWith('task_vectors')) return 0;
  const masks = models * Math.ceil(count / 8);
  if (parameters[0] === sparsifiers.magprune) return masks > maskBytes ? 0 : masks;
  if (parameters[0] === sparsifiers.outliers) return 2 * models * rankBytes;
  return parameters[0] === sparsifiers.magnitude ? models * rankBytes : 0;
}

/** Bytes that reading all inputs of a tensor once takes. */
export function inputBytes({ sources }: TensorWork): number {
  return sources.reduce((sum, source) => sum + sourceCount(source) * itemSize(source.tensor.dtype), 0);
}

/** Integer tensors of which all models must hold equal bytes. */
export function equalTensors(merge: ResolvedMerge, { models }: MergeData): TensorInfo[][] {
  return merge.tensors
    .filter(({ mustEqual }) => mustEqual)
    .map(({ inputs, base }) =>
      [...inputs, ...(base ? [base] : [])].map(({ model, tensor }) => models[model]!.source(tensor).tensor),
    );
}
