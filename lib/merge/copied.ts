import type { Read } from '../checkpoint/blocks.js';
import { InputPool } from '../checkpoint/input-pool.js';
import type { ProgressMeter } from '../checkpoint/progress.js';
import type { TensorInfo } from '../checkpoint/tensor.js';
import { HostBuffer } from '../native.js';
import type { PreparedMerge } from './plan.js';
import { incompatible, type Problem } from './problems.js';

const chunkBytes = 2 ** 20;

/**
 * Integer and boolean tensors are never interpolated: they must be equal in both models. Compares them before
 * anything is written; they are small buffers (position ids, counters) in practice. Throws ERR_INCOMPATIBLE
 * with every tensor that differs.
 */
export async function checkCopiedTensors(
  { zeroshot, finetuned, pairs, options }: PreparedMerge,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<void> {
  const copied = pairs.filter(({ action, x }) => action === 'copy' && x.bytes > 0);
  progress.start(
    'check',
    copied.reduce((sum, { x }) => sum + 2 * x.bytes, 0),
  );
  if (copied.length === 0) return;
  const inputs = new InputPool([...zeroshot.files, ...finetuned.files], options.readMode);
  const arena = new HostBuffer(4 * chunkBytes);
  const problems: Problem[] = [];
  try {
    for (const { x, y } of copied) {
      signal?.throwIfAborted();
      if (!(await equalBytes(x, y, inputs, arena, progress))) {
        problems.push({
          code: 'ERR_INTEGER_TENSOR_DIFFERS',
          tensor: x.name,
          file: y.file,
          message: `"${x.name}" (${x.dtype}) differs between the models and cannot be interpolated`,
          fix: 'Integers are indices or counters: make the tensor equal in both models before merging.',
        });
      }
    }
    await inputs.close();
  } finally {
    await inputs.close().catch(() => {});
    arena.release();
  }
  if (problems.length > 0) throw incompatible(problems);
}

/**
 * Compares the stored bytes of two tensors of one dtype and shape, through the page cache. `arena` has 4 MiB.
 */
export async function equalBytes(
  x: TensorInfo,
  y: TensorInfo,
  inputs: InputPool,
  arena: HostBuffer,
  progress: ProgressMeter,
): Promise<boolean> {
  for (let done = 0; done < x.bytes; done += chunkBytes) {
    const length = Math.min(chunkBytes, x.bytes - done);
    const read = ({ file, offset }: TensorInfo, at: number): Read => ({
      file,
      position: offset + done,
      length,
      at,
      direct: false,
    });
    await inputs.read([read(x, 0), read(y, 2 * chunkBytes)], arena, 0);
    const left = Buffer.from(arena.buffer, 0, length);
    const right = Buffer.from(arena.buffer, 2 * chunkBytes, length);
    progress.add(2 * length, x.name);
    if (left.equals(right)) continue;
    progress.add(2 * (x.bytes - done - length), x.name);
    return false;
  }
  return true;
}
