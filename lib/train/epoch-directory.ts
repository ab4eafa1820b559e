import { join } from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { finishOutput } from '../checkpoint/finish-output.js';
import { layOut } from '../checkpoint/layout.js';
import { type DerivedManifest, describeInput } from '../checkpoint/manifest.js';
import type { WrittenFile } from '../checkpoint/output-writer.js';
import { writeTensors } from '../checkpoint/rewritten-model.js';
import { copySidecars, listSidecars } from '../checkpoint/sidecars.js';
import { makeDirectory } from '../files/make-directory.js';
import { stateDirectory, stateName, writeState } from './optimizer-state.js';
import type { TrainedTensor } from './parameters.js';
import type { TrainingSession } from './session.js';

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
  await makeDirectory(join(directory, stateDirectory));
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
  await finishOutput<DerivedManifest & { training: TrainingRecord }>(
    directory,
    layout,
    {},
    {
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
    },
  );
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
