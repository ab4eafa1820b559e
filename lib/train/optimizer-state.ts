import { createReadStream } from 'node:fs';
import { xxh3 } from '@node-rs/xxhash';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import type { WrittenFile } from '../checkpoint/output-writer.js';
import { type TensorData, writeSafetensors } from '../checkpoint/write-safetensors.js';
import { ioError, WisemergeError } from '../errors.js';
import { hexDigest } from '../hex-digest.js';
import type { StateArray, TrainingSession } from './session.js';

// Away from the weights, so that the directory stays a checkpoint that every reader opens.
export const stateDirectory = 'training';
export const stateName = 'optimizer.safetensors';

const arrays: readonly StateArray[] = ['parameter', 'exp_avg', 'exp_avg_sq'];

/**
 * Writes what a run goes on from: for each trained tensor NAME `parameter.NAME`, `exp_avg.NAME` and
 * `exp_avg_sq.NAME` in F32. Throws ERR_IO, ERR_NO_SPACE.
 */
export async function writeState(path: string, session: TrainingSession): Promise<WrittenFile> {
  const tensors = session.trained.flatMap((trained) =>
    arrays.map((array): TensorData => {
      const { buffer, byteOffset, byteLength } = session.elements(array, trained);
      const { name, shape } = trained.tensor;
      return {
        name: `${array}.${name}`,
        dtype: 'F32',
        shape,
        data: new Uint8Array(buffer, byteOffset, byteLength),
      };
    }),
  );
  await writeSafetensors(path, tensors, { format: 'wisemerge-optimizer' });
  const { bytes, hash } = await hashOf(path);
  return { name: stateName, bytes, xxh3: hash };
}

/** Reads it back. Throws ERR_TRAINING_STATE where it is not what `written` says or fits other tensors; ERR_IO. */
export async function readState(path: string, written: WrittenFile, session: TrainingSession): Promise<void> {
  const { bytes, hash } = await hashOf(path);
  if (bytes !== written.bytes || hash !== written.xxh3) {
    throw damaged(
      path,
      `has ${bytes} bytes and XXH3 ${hash}; ${written.bytes} and ${written.xxh3} were written`,
    );
  }
  await using state = await openCheckpoint(path);
  for (const trained of session.trained) {
    for (const array of arrays) {
      const name = `${array}.${trained.tensor.name}`;
      const found = state.tensors.get(name);
      if (found?.dtype !== 'F32' || found.count !== trained.tensor.count) {
        throw damaged(path, `has no tensor ${name} of ${trained.tensor.count} F32 elements`);
      }
      const { buffer, byteOffset, byteLength } = session.elements(array, trained);
      new Uint8Array(buffer, byteOffset, byteLength).set(await state.readTensor(name));
    }
  }
}

async function hashOf(path: string): Promise<{ bytes: number; hash: string }> {
  const hash = xxh3.Xxh3.withSeed();
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
    }
  } catch (error) {
    throw ioError(error, 'read', path);
  }
  return { bytes, hash: hexDigest(hash) };
}

function damaged(path: string, why: string): WisemergeError {
  return new WisemergeError('ERR_TRAINING_STATE', `${path} ${why}`, {
    file: path,
    hint: 'Remove the directory of this epoch to continue from the one before, or start again with force (--force).',
  });
}
