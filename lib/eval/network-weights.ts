import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { formatShape, sameShape, type TensorInfo } from '../checkpoint/tensor.js';
import { toFloats } from '../checkpoint/to-floats.js';
import { WisemergeError } from '../errors.js';
import type { ParameterRow, StoredWeight } from '../native/network.js';
import { dtypeByName } from '../native.js';
import { Arena, ArenaLayout } from './arena.js';

/** The weights of both models in memory, in their stored dtypes. */
export interface LoadedWeights extends Disposable {
  readonly arena: Arena;
  readonly parameters: readonly ParameterRow[];
}

interface Side {
  readonly checkpoint: Checkpoint;
  readonly tensor: TensorInfo;
  readonly offset: number;
}

const computed = new Set(['F32', 'F16', 'BF16']);
const bytesIn = ({ dtype, bytes, count }: TensorInfo) => (computed.has(dtype) ? bytes : 4 * count);

/**
 * Reads the tensors named from one or two models, one tensor after the other. F64 becomes F32; tensors whose bytes
 * are equal in both models count as one.
 *
 * Throws ERR_MISSING_TENSOR, ERR_SHAPE_MISMATCH, ERR_DTYPE_MISMATCH and what reading throws.
 */
export async function loadWeights(
  names: readonly string[],
  zeroshot: Checkpoint,
  finetuned: Checkpoint | undefined,
  signal?: AbortSignal,
): Promise<LoadedWeights> {
  const layout = new ArenaLayout();
  const place = (checkpoint: Checkpoint, tensor: TensorInfo): Side => {
    checkDtype(tensor);
    return { checkpoint, tensor, offset: layout.reserve(bytesIn(tensor)) };
  };
  const pairs = names.map((name) => {
    const x = zeroshot.tensors.get(name)!;
    const y = finetuned && counterpart(x, zeroshot, finetuned);
    return { x: place(zeroshot, x), y: y && place(finetuned!, y) };
  });
  const arena = new Arena(layout);
  try {
    const parameters: ParameterRow[] = [];
    for (const { x, y } of pairs) {
      signal?.throwIfAborted();
      const bytes = await read(arena, x);
      const other = y && (await read(arena, y));
      const same = other && x.tensor.dtype === y.tensor.dtype && Buffer.compare(bytes, other) === 0;
      parameters.push({
        count: x.tensor.count,
        zeroshot: stored(x),
        ...(y && !same && { finetuned: stored(y) }),
      });
    }
    return { arena, parameters, [Symbol.dispose]: () => arena[Symbol.dispose]() };
  } catch (error) {
    arena[Symbol.dispose]();
    throw error;
  }
}

async function read(arena: Arena, { checkpoint, tensor, offset }: Side): Promise<Uint8Array> {
  if (computed.has(tensor.dtype) && tensor.bytes < 2 ** 32) {
    const bytes = arena.bytes(offset, tensor.bytes);
    await checkpoint.readTensorInto(tensor.name, bytes);
    return bytes;
  }
  // F64, or too large for one view: the plain way tells of the latter.
  const floats = toFloats(await checkpoint.readTensor(tensor.name), tensor.dtype, tensor.name);
  arena.floats(offset, tensor.count).set(floats);
  return arena.bytes(offset, 4 * tensor.count);
}

function stored({ tensor, offset }: Side): StoredWeight {
  const dtype = computed.has(tensor.dtype) ? tensor.dtype : 'F32';
  return { dtype: dtypeByName(dtype)!.index, offset };
}

function checkDtype({ name, dtype, file }: TensorInfo): void {
  if (computed.has(dtype) || dtype === 'F64') return;
  throw new WisemergeError(
    'ERR_DTYPE_MISMATCH',
    `"${name}" has dtype ${dtype}; networks are evaluated from F32, F16, BF16 and F64`,
    { tensor: name, file, hint: 'Save the model as bfloat16 or float32 first.' },
  );
}

function counterpart(x: TensorInfo, zeroshot: Checkpoint, finetuned: Checkpoint): TensorInfo {
  const y = finetuned.tensors.get(x.name);
  if (!y) {
    throw new WisemergeError(
      'ERR_MISSING_TENSOR',
      `"${x.name}" of ${zeroshot.path} is missing in ${finetuned.path}`,
      { tensor: x.name, file: finetuned.path, hint: 'Give two models of one architecture.' },
    );
  }
  if (sameShape(x.shape, y.shape)) return y;
  throw new WisemergeError(
    'ERR_SHAPE_MISMATCH',
    `"${x.name}" is ${formatShape(x.shape)} in ${zeroshot.path} and ${formatShape(y.shape)} in ${finetuned.path}`,
    { tensor: x.name, file: y.file, hint: 'Give two models of one architecture.' },
  );
}
