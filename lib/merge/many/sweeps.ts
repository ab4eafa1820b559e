import { chunkSlack, mergeSpan, type NativeMethod, sinkBytes } from '../../native/merge.js';
import type { DTypeName } from '../../native.js';
import type { Chunks } from './chunks.js';
import type { NativeCall } from './native-call.js';
import { chunkNeed, type TensorWork } from './work.js';

/**
 * Counting sweeps of a rank: 16 bits of F64 keys each. The second half of narrower keys is counted with the first, but
 * for chunks where it was guessed wrong (native/merge/ranks.cc).
 */
const rankSweeps = (wide: boolean): number => (wide ? 4 : 1);

/** Sweeps of methods that always take as many. */
const fixed: Partial<Record<NativeMethod, number>> = {
  copy: 1,
  linear: 1,
  rounded: 1,
  nearswap: 1,
  fisher: 1,
  slerp: 2,
  nuslerp: 2,
  nuslerp_vectors: 2,
  multislerp: 2,
  karcher: 2,
  model_stock: 2,
  model_stock_rows: 2,
  warp: 2,
};

/** How often a method goes over the inputs of a tensor: what is usual, but for single chunks. */
function sweepsOf({ method, parameters, inputs, base }: NativeCall, wide: boolean): number {
  const known = fixed[method];
  if (known !== undefined) return known;
  if (method === 'arcee_fusion') return 2 + rankSweeps(wide);
  if (method === 'ram') return parameters[1] === 0 ? 1 : 2;
  if (method === 'sce') return parameters[0]! < 1 ? 3 + rankSweeps(wide) : 2;
  // task_vectors: sparsifier, consensus, normalize, rescale, lambda; per model weight, density, …
  const [sparsifier, , , rescale] = parameters;
  const sparse = sparsifier !== 0 && inputs.some((input, i) => i !== base && input.parameters[1]! < 1);
  if (!sparse) return 1;
  const ranked = sparsifier === 1 || sparsifier === 3;
  return 1 + (ranked ? rankSweeps(wide) : 0) + (rescale ? 1 : 0);
}

/** What reading a merge takes beyond one pass over its inputs. */
export interface Rereading {
  /** Tensors that are read more than once, since they do not fit the buffers whole. */
  readonly tensors: number;
  /** What is usual; chunks in which equal numbers are told apart come on top. */
  readonly bytes: number;
  /** Of buffers that would hold each of them. */
  readonly memory: number;
}

/** Tensors that fit the chunks are read once, whatever their method. */
export function rereading(
  work: Iterable<readonly [TensorWork, DTypeName]>,
  { chunkBytes, arena, memory }: Chunks,
  bytesOf: (one: TensorWork) => number,
): Rereading {
  const chunks = Math.floor((arena - sinkBytes - chunkBytes) / chunkBytes);
  const sum = { tensors: 0, bytes: 0, memory };
  for (const [one, dtype] of work) {
    const wide = one.sources.some(({ tensor }) => tensor.dtype === 'F64');
    const sweeps = sweepsOf(one.call, wide);
    if (sweeps === 1) continue;
    const { itemBytes, row, count, inputs } = chunkNeed(one, dtype);
    const unit = row > 0 ? row : mergeSpan;
    const room = Math.max(Math.floor((chunkBytes - chunkSlack) / itemBytes / unit), 1) * unit;
    const needed = Math.ceil(count / room) * inputs;
    if (needed <= chunks) continue;
    sum.tensors++;
    sum.bytes += (sweeps - 1) * bytesOf(one);
    sum.memory = Math.max(sum.memory, memory - arena + sinkBytes + (needed + 1) * chunkBytes);
  }
  return sum;
}
