import type { TensorInfo } from '../../checkpoint/tensor.js';
import { itemSize } from '../../checkpoint/tensor.js';
import { WisemergeError } from '../../errors.js';
import type { ResolvedMerge, ResolvedTensor } from '../config/resolved.js';
import { type ChunkNeed, loadedBytes } from './chunks.js';
import type { ModelData, TensorSource } from './model-data.js';
import { nativeCall } from './native-call.js';
import type { TensorWork } from './tensor-stream.js';

/** Models and statistics of a merge, in its order. */
export interface MergeData {
  readonly models: readonly ModelData[];
  readonly statistics: readonly ModelData[];
}

/** Everything that the native stream is told of one resolved tensor. */
export function tensorWork(tensor: ResolvedTensor, { models, statistics }: MergeData): TensorWork {
  const sourceOf = ({ model, tensor: name }: { model: number; tensor: string }): TensorSource =>
    models[model]!.source(name);
  const inputs = tensor.inputs.map(sourceOf);
  const base = tensor.base && sourceOf(tensor.base);
  const shape = (base ?? inputs[0]!).tensor.shape;
  const call = nativeCall(tensor, shape);
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
  return { name: tensor.name, call, sources };
}

/** Headers were checked; what replaces tensors (adapters, remapped vocabularies) is checked here. */
function checkShapes(name: string, sources: readonly TensorSource[]): void {
  const [first] = sources;
  const other = sources.find(({ tensor }) => tensor.count !== first!.tensor.count);
  if (!other) return;
  throw new WisemergeError(
    'ERR_SHAPE_MISMATCH',
    `"${name}": ${first!.tensor.count} elements in ${first!.tensor.file}, ${other.tensor.count} in ${other.tensor.file}`,
    { tensor: name, file: other.tensor.file },
  );
}

/** What a chunk must hold of it. */
export function chunkNeed({ name, call, sources }: TensorWork, dtype: TensorInfo['dtype']): ChunkNeed {
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
  const count = inputs[0]?.tensor.count ?? 0;
  // Of regression: the factor of its system, blocks of matrices, and two numbers per element of a chunk.
  const own = method === 'regmean' ? 8 * row * row + 1024 * row + 16 * Math.min(count, 2 ** 20) : 0;
  return { name, inputs: inputs.length, itemBytes, row: rows ? row : 0, count, own };
}

/** Bytes that reading all inputs once takes. */
export function inputBytes(work: Iterable<TensorWork>): number {
  let bytes = 0;
  for (const { sources } of work) for (const { tensor } of sources) bytes += tensor.bytes;
  return bytes;
}

/** Integer tensors of which all models must hold equal bytes. */
export function equalTensors(merge: ResolvedMerge, { models }: MergeData): TensorInfo[][] {
  return merge.tensors
    .filter(({ mustEqual }) => mustEqual)
    .map(({ inputs, base }) =>
      [...inputs, ...(base ? [base] : [])].map(({ model, tensor }) => models[model]!.source(tensor).tensor),
    );
}
