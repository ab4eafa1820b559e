import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { manifestName } from '../checkpoint/manifest.js';
import { ioError, WisemergeError } from '../errors.js';
import { readTextFile } from '../files/read-whole.js';
import type { TrainingRecord } from './epoch-directory.js';

const measured = z.object({ loss: z.number(), top1: z.number() });
const record = z.object({
  epoch: z.number(),
  loss: z.number(),
  top1: z.number(),
  learningRate: z.number(),
  largestGradientNorm: z.number(),
  heldOut: measured.optional(),
});
const training = z.object({
  /** Everything that decides what comes out: a run goes on only where it is the same. */
  identity: z.record(z.string(), z.unknown()),
  initial: measured.optional(),
  epochs: z.array(record),
  optimizer: z.object({ name: z.string(), bytes: z.number(), xxh3: z.string() }),
});
const manifestSchema = z.object({ method: z.literal('finetune'), training });

/** The last complete epoch of a run; undefined where there is none. Throws ERR_TRAINING_STATE, ERR_IO. */
export async function findLastEpoch(
  out: string,
): Promise<{ directory: string; record: TrainingRecord } | undefined> {
  const entries = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw ioError(error, 'list', out);
  });
  const last = entries
    .filter((name) => /^epoch_\d{4,}$/.test(name))
    .sort((a, b) => Number(a.slice(6)) - Number(b.slice(6)))
    .at(-1);
  if (last === undefined) return undefined;
  const directory = join(out, last);
  const path = join(directory, manifestName);
  const text = await readTextFile(path).catch((error) => {
    throw ioError(error, 'read', path);
  });
  try {
    const { training: found } = manifestSchema.parse(JSON.parse(text));
    if (found.epochs.at(-1)?.epoch === Number(last.slice(6))) return { directory, record: found };
  } catch {
    // Not JSON, or not of this kind.
  }
  throw new WisemergeError('ERR_TRAINING_STATE', `${path} is not the manifest of an epoch of training`, {
    file: path,
    hint: 'Remove the directory of this epoch to continue from the one before, or start again with force (--force).',
  });
}
