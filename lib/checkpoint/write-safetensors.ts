import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { ioError, WisemergeError } from '../errors.js';
import { syncHandle } from '../files/sync-handle.js';
import type { DTypeName } from '../native.js';
import { encodeHeader, type OutputTensor } from './layout.js';
import { elementCount, formatShape, itemSize } from './tensor.js';

/** A tensor in memory: its stored bytes, little-endian, in C order. */
export interface TensorData {
  readonly name: string;
  readonly dtype: DTypeName;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/**
 * Writes tensors that fit in memory to a new safetensors file, in the order given. For heads, statistics and
 * test models; whole checkpoints stream through `merge`. Throws ERR_SAFETENSORS_SHAPE,
 * ERR_SAFETENSORS_DUPLICATE, ERR_IO.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const names = new Set<string>();
  let end = 0;
  const placed = tensors.map(({ name, dtype, shape, data }): OutputTensor => {
    const bytes = elementCount(shape) * itemSize(dtype);
    if (bytes !== data.byteLength) {
      throw new WisemergeError(
        'ERR_SAFETENSORS_SHAPE',
        `tensor "${name}": ${dtype} ${formatShape(shape)} takes ${bytes} bytes; ${data.byteLength} given`,
        { tensor: name, file: path },
      );
    }
    if (names.has(name)) {
      throw new WisemergeError('ERR_SAFETENSORS_DUPLICATE', `tensor "${name}" is given twice`, {
        tensor: name,
        file: path,
      });
    }
    names.add(name);
    const offset = end;
    end += bytes;
    return { name, dtype, shape, offset, bytes };
  });
  const header = encodeHeader(placed, new Map(Object.entries(metadata)), basename(path));
  try {
    const handle = await open(path, 'wx');
    try {
      await handle.writeFile(header);
      for (const { data } of tensors) await handle.writeFile(data);
      await syncHandle(handle);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw ioError(error, 'write', path);
  }
}
