import { rename } from 'node:fs/promises';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { type TensorData, writeSafetensors } from '../checkpoint/write-safetensors.js';
import { ioError, WisemergeError } from '../errors.js';
import { removeFile } from '../files/remove.js';
import type { SetOutcome } from '../selection/set-outcome.js';
import { BitMatrix } from '../statistics/bits.js';

/**
 * Writes an outcome as safetensors: lo, hi (F64 [N]) and open (U8 [N]), with the domain in the metadata; or
 * correct (U32 [K, ceil(N / 32)], bits as in `BitMatrix`), with N in the metadata; and labels and group_ids
 * (I32 [N]) where there are any. Complete or not there. Throws ERR_IO, ERR_NO_SPACE.
 */
export async function writeOutcome(path: string, outcome: SetOutcome): Promise<void> {
  const { intervals, correct, labels, groups } = outcome;
  const samples = intervals ? intervals.lo.length : correct.columns;
  const shape = [samples];
  const tensors: TensorData[] = [];
  if (intervals) {
    tensors.push({ name: 'lo', dtype: 'F64', shape, data: bytesOf(intervals.lo) });
    tensors.push({ name: 'hi', dtype: 'F64', shape, data: bytesOf(intervals.hi) });
  } else {
    const words = [correct.rows, correct.stride];
    tensors.push({ name: 'correct', dtype: 'U32', shape: words, data: bytesOf(correct.words) });
  }
  if (labels) tensors.push({ name: 'labels', dtype: 'I32', shape, data: bytesOf(labels) });
  if (groups) tensors.push({ name: 'group_ids', dtype: 'I32', shape, data: bytesOf(groups.ids) });
  if (intervals) tensors.push({ name: 'open', dtype: 'U8', shape, data: intervals.open });
  const temporary = `${path}.tmp`;
  await removeFile(temporary);
  await writeSafetensors(temporary, tensors, {
    ...(intervals ? { domain: JSON.stringify(intervals.domain) } : { samples: String(samples) }),
    ...(groups && { groups: JSON.stringify(groups.names) }),
  });
  await rename(temporary, path).catch((error) => {
    throw ioError(error, 'write', path);
  });
}

/** Throws ERR_SWEEP_RESULT where the file is not such an outcome, and what reading safetensors throws. */
export async function readOutcome(path: string): Promise<SetOutcome> {
  await using file = await openCheckpoint(path);
  const read = async (name: string): Promise<ArrayBuffer> => {
    if (!file.tensors.has(name)) throw damaged(path, `it has no ${name}`);
    return (await file.readTensor(name)).slice().buffer as ArrayBuffer;
  };
  const { metadata } = file.files[0]!;
  const names = metadata.has('groups') ? (parse(path, metadata.get('groups')) as string[]) : undefined;
  const more = {
    ...(file.tensors.has('labels') && { labels: new Int32Array(await read('labels')) }),
    ...(names && { groups: { names, ids: new Int32Array(await read('group_ids')) } }),
  };
  const matrix = file.tensors.get('correct');
  if (matrix) {
    const samples = parse(path, metadata.get('samples'));
    const rows = matrix.shape[0]!;
    if (!Number.isSafeInteger(samples) || matrix.shape[1] !== Math.ceil((samples as number) / 32)) {
      throw damaged(path, 'its number of samples is not that of its bits');
    }
    const words = new Uint32Array(await read('correct'));
    return { correct: new BitMatrix(rows, samples as number, words), ...more };
  }
  const domain = parse(path, metadata.get('domain'));
  if (!Array.isArray(domain) || domain.length !== 2) throw damaged(path, 'it has no domain');
  const intervals = {
    domain: domain as unknown as [number, number],
    lo: new Float64Array(await read('lo')),
    hi: new Float64Array(await read('hi')),
    open: new Uint8Array(await read('open')),
  };
  return { intervals, ...more };
}

function bytesOf(array: Float64Array | Int32Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function parse(path: string, text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    throw damaged(path, 'its metadata is not JSON');
  }
}

function damaged(path: string, why: string): WisemergeError {
  return new WisemergeError('ERR_SWEEP_RESULT', `${path} is not an outcome file of a sweep: ${why}`, {
    file: path,
    hint: 'Run the sweep again.',
  });
}
