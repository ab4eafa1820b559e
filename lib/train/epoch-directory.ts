import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { layOut } from '../checkpoint/layout.js';
import { type DerivedManifest, describeInput, manifestName } from '../checkpoint/manifest.js';
import type { WrittenFile } from '../checkpoint/output-writer.js';
import { writeIndexAndManifest, writeTensors } from '../checkpoint/rewritten-model.js';
import { copySidecars, listSidecars } from '../checkpoint/sidecars.js';
import { ioError, WisemergeError } from '../errors.js';
import { version } from '../version.js';
import { stateDirectory, stateName, writeState } from './optimizer-state.js';
import type { TrainedTensor } from './parameters.js';
import type { TrainingSession } from './session.js';

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

/** Mean cross-entropy in nats, without label smoothing, and accuracy. */
export interface Measured {
  readonly loss: number;
  readonly top1: number;
}

/** What one epoch did; JSON-serialisable. */
export interface EpochRecord {
  /** From 1. */
  readonly epoch: number;
  /** Mean over the epoch's samples, each before the update it took part in; with label smoothing, in nats. */
  readonly loss: number;
  /** Of the same samples. */
  readonly top1: number;
  /** Of the last step. */
  readonly learningRate: number;
  /** Before clipping. */
  readonly largestGradientNorm: number;
  /** Of the held-out set, after the epoch. */
  readonly heldOut?: Measured | undefined;
}

/** What the manifest of an epoch says about the run so far. */
export interface TrainingRecord {
  readonly identity: Readonly<Record<string, unknown>>;
  /** Of the held-out set, before the first epoch. */
  readonly initial?: Measured | undefined;
  readonly epochs: readonly EpochRecord[];
  readonly optimizer: WrittenFile;
}

export const epochName = (epoch: number): string => `epoch_${String(epoch).padStart(4, '0')}`;

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
  const text = await readFile(path, 'utf8').catch((error) => {
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
    hint: 'Remove the directory of this epoch to go on from the one before, or begin anew with --force.',
  });
}

export interface EpochFacts extends Omit<TrainingRecord, 'optimizer'> {
  /** The command that makes this output again. */
  readonly command: string;
  /** Where it trains: `cpu` or `cuda:N`. */
  readonly device: string;
  /** As it was given. */
  readonly zeroshot: string;
}

/**
 * Writes one epoch: the checkpoint with the trained tensors in place and all else as in `base`, the files
 * beside it, the optimiser's state, and last the manifest. Gives the number of NaN and infinite elements by
 * tensor. Throws ERR_IO, ERR_NO_SPACE.
 */
export async function writeEpoch(
  directory: string,
  base: Checkpoint,
  session: TrainingSession,
  facts: EpochFacts,
  signal?: AbortSignal,
): Promise<Readonly<Record<string, number>>> {
  await mkdir(join(directory, stateDirectory), { recursive: true }).catch((error) => {
    throw ioError(error, 'create', directory);
  });
  const layout = layOut(base, ({ dtype }) => dtype);
  const nonFinite: Record<string, number> = Object.create(null);
  const files: WrittenFile[] = [];
  const trained = new Map(session.trained.map((item) => [item.tensor.name, item]));
  const bytesOf = (name: string) => tensorBytes(name, base, session, trained, nonFinite);
  for (const file of layout.files) {
    files.push(await writeTensors(join(directory, file.name), file, bytesOf, signal));
  }
  await copySidecars(base, (await listSidecars(base)).copied, directory, undefined);
  const optimizer = await writeState(join(directory, stateDirectory, stateName), session);
  const { identity, initial, epochs, command, device, zeroshot } = facts;
  const manifest: Omit<DerivedManifest, 'companions'> & { training: TrainingRecord } = {
    wisemerge: version,
    node: process.version,
    method: 'finetune',
    formula: 'AdamW on softmax cross-entropy',
    dtype: null,
    device,
    command,
    zeroshot: describeInput(zeroshot, base),
    parameters: layout.parameters,
    files,
    nonFinite,
    training: { identity, ...(initial && { initial }), epochs, optimizer },
  };
  await writeIndexAndManifest(directory, layout, manifest);
  return nonFinite;
}

/** Of a trained tensor what training has made of it, of any other what the base has. */
async function tensorBytes(
  name: string,
  base: Checkpoint,
  session: TrainingSession,
  trained: ReadonlyMap<string, TrainedTensor>,
  nonFinite: Record<string, number>,
): Promise<Uint8Array> {
  const item = trained.get(name);
  if (!item) return await base.readTensor(name);
  const stored = await session.storedTensor(item);
  if (stored.nonFinite > 0) nonFinite[name] = stored.nonFinite;
  return stored.bytes;
}
