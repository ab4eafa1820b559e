import { rename, rm } from 'node:fs/promises';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { writeSafetensors } from '../checkpoint/write-safetensors.js';
import { ioError, WisemergeError } from '../errors.js';
import type { CorrectIntervals } from '../eval/correct-intervals.js';
import type { Groups } from '../eval/data/groups.js';

/** What one pass over a set found per sample: enough to choose alpha anew without evaluating again. */
export interface SetOutcome {
  readonly intervals: CorrectIntervals;
  readonly labels: Int32Array;
  readonly groups?: Groups;
}

/**
 * Writes an outcome as safetensors: lo, hi (F64 [N]), open (U8 [N]), labels and group_ids (I32 [N]), the domain
 * and the names of the groups in the metadata. Complete or not there. Throws ERR_IO, ERR_NO_SPACE.
 */
export async function writeOutcome(path: string, { intervals, labels, groups }: SetOutcome): Promise<void> {
  const shape = [labels.length];
  const tensors = [
    { name: 'lo', dtype: 'F64' as const, shape, data: bytesOf(intervals.lo) },
    { name: 'hi', dtype: 'F64' as const, shape, data: bytesOf(intervals.hi) },
    { name: 'labels', dtype: 'I32' as const, shape, data: bytesOf(labels) },
    ...(groups ? [{ name: 'group_ids', dtype: 'I32' as const, shape, data: bytesOf(groups.ids) }] : []),
    { name: 'open', dtype: 'U8' as const, shape, data: intervals.open },
  ];
  const temporary = `${path}.tmp`;
  await rm(temporary, { force: true });
  await writeSafetensors(temporary, tensors, {
    domain: JSON.stringify(intervals.domain),
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
  const domain = parse(path, metadata.get('domain'));
  const names = metadata.has('groups') ? (parse(path, metadata.get('groups')) as string[]) : undefined;
  if (!Array.isArray(domain) || domain.length !== 2) throw damaged(path, 'it has no domain');
  return {
    intervals: {
      domain: domain as unknown as [number, number],
      lo: new Float64Array(await read('lo')),
      hi: new Float64Array(await read('hi')),
      open: new Uint8Array(await read('open')),
    },
    labels: new Int32Array(await read('labels')),
    ...(names && { groups: { names, ids: new Int32Array(await read('group_ids')) } }),
  };
}

function bytesOf(array: Float64Array | Int32Array): Uint8Array {
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
  return new WisemergeError('ERR_SWEEP_RESULT', `${path} is no outcome of a sweep: ${why}`, {
    file: path,
    hint: 'Run the sweep again.',
  });
}
