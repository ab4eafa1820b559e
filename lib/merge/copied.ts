import { InputPool } from '../checkpoint/input-pool.js';
import type { ProgressMeter } from '../checkpoint/progress.js';
import { settleAll } from '../checkpoint/settle.js';
import type { TensorInfo } from '../checkpoint/tensor.js';
import { separateHead } from './compatibility.js';
import type { PreparedMerge } from './plan.js';
import { incompatible, type Problem } from './problems.js';

const chunkBytes = 2 ** 20;

/**
 * Integer and boolean tensors are never interpolated: they must be equal in both models, and heads that are left out must
 * be their embedding. Compares them before anything is written. Throws ERR_INCOMPATIBLE with every tensor that differs.
 */
export async function checkCopiedTensors(
  { zeroshot, finetuned, pairs, aliases, options }: PreparedMerge,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<void> {
  const copied = pairs.filter(({ action, x }) => action === 'copy' && x.bytes > 0);
  const compared = [...copied.map(({ x }) => x), ...aliases.map(({ alias }) => alias)];
  progress.start(
    'check',
    compared.reduce((sum, { bytes }) => sum + 2 * bytes, 0),
  );
  if (compared.length === 0) return;
  const inputs = new InputPool([...zeroshot.files, ...finetuned.files], options.readMode);
  const problems: Problem[] = [];
  try {
    for (const { x, y } of copied) {
      if (!(await equalBytes(x, y, inputs, progress, signal))) {
        problems.push({
          code: 'ERR_INTEGER_TENSOR_DIFFERS',
          tensor: x.name,
          file: y.file,
          message: `"${x.name}" (${x.dtype}) differs between the models and cannot be interpolated`,
          fix: 'Integers are indices or counters: make the tensor equal in both models before merging.',
        });
      }
    }
    for (const { alias, of } of aliases) {
      const same = alias.dtype === of.dtype && (await equalBytes(alias, of, inputs, progress, signal));
      if (!same) problems.push(separateHead(alias, of));
    }
    await inputs.close();
  } finally {
    await inputs.close().catch(() => {});
  }
  if (problems.length > 0) throw incompatible(problems);
}

/** Compares the stored bytes of two tensors of one dtype and shape, which packed weights make as large as any. */
export async function equalBytes(
  x: TensorInfo,
  y: TensorInfo,
  inputs: InputPool,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<boolean> {
  signal?.throwIfAborted();
  const chunk = Math.min(chunkBytes, x.bytes);
  const [left, right] = [Buffer.alloc(chunk), Buffer.alloc(chunk)];
  const { files, release } = await inputs.acquire([x.file, y.file]);
  try {
    for (let done = 0; done < x.bytes; done += chunk) {
      signal?.throwIfAborted();
      const length = Math.min(chunk, x.bytes - done);
      await settleAll([
        files.get(x.file)!.read(left.subarray(0, length), x.offset + done),
        files.get(y.file)!.read(right.subarray(0, length), y.offset + done),
      ]);
      progress.add(2 * length, x.name);
      if (left.subarray(0, length).equals(right.subarray(0, length))) continue;
      progress.add(2 * (x.bytes - done - length), x.name);
      return false;
    }
    return true;
  } finally {
    await release();
  }
}
