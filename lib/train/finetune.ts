import { join, resolve } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import { beginCall } from '../call-options.js';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { OutputTransaction } from '../checkpoint/transaction.js';
import { WisemergeError } from '../errors.js';
import { networkDevice, networkEngine } from '../eval/network-device.js';
import { hexDigest } from '../hex-digest.js';
import { checkOutputPath } from '../merge/plan.js';
import { Engine } from '../native.js';
import { ownCopy } from '../own-copy.js';
import { formatCommand } from './command.js';
import {
  type EpochFacts,
  type EpochRecord,
  epochName,
  type Measured,
  type TrainingRecord,
  writeEpoch,
} from './epoch-directory.js';
import { readState, stateDirectory, stateName } from './optimizer-state.js';
import { checkOptions, type FinetuneOptions, resolveTraining, type Training } from './options.js';
import { learningRates, type Schedule } from './schedule.js';
import { TrainingSession } from './session.js';
import { findTrainedNetwork, type TrainedNetwork } from './trained-network.js';

export interface FinetuneProgress {
  readonly epoch: number;
  readonly epochs: number;
  /** Steps done in this epoch. */
  readonly step: number;
  /** Of an epoch. */
  readonly steps: number;
  /** Mean over the epoch's samples so far, in nats. */
  readonly loss: number;
}

export interface FinetuneRunOptions {
  /** Stops the run; complete epochs stay and can be gone on from. Rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
  /** At most ten times a second, and at the end of each epoch. */
  readonly onProgress?: (progress: FinetuneProgress) => void;
  /** When an epoch's checkpoint is on disk. */
  readonly onEpoch?: (record: EpochRecord, directory: string) => void;
}

/** What a run did; JSON-serialisable. */
export interface FinetuneResult {
  /** The last epoch's checkpoint. */
  readonly directory: string;
  /** Of the held-out set, before training. */
  readonly initial?: Measured | undefined;
  /** Of all epochs, those of earlier runs included. */
  readonly epochs: readonly EpochRecord[];
  /** The tensors that were trained, and their parameters. */
  readonly trained: readonly string[];
  readonly parameters: number;
  /** Tensors that stay as they are. */
  readonly frozen: number;
  readonly options: Training;
  /** `cpu` or `cuda:N`. */
  readonly device: string;
  /** Epochs that were there already. */
  readonly resumed: number;
  readonly seconds: number;
  readonly warnings: readonly string[];
}

/**
 * Fine-tunes a classifier: the first step of WiSE-FT (Wortsman et al., 2021). On pictures trains ViT, or CLIP's
 * vision tower with a linear head, end to end; on cached features an MLP, or the linear head of any other model.
 * Starts from the zero-shot weights, with AdamW, linear warm-up and a cosine schedule. Every epoch's checkpoint has the tensors, shapes and dtypes of the zero-shot model and
 * appears whole; results depend on options and data alone, not on device, threads or interruptions.
 *
 * Rejects with WisemergeError before any work: ERR_USAGE, ERR_DATA_MISMATCH, ERR_DATA, ERR_NO_SUCH_TENSOR,
 * ERR_SHAPE_MISMATCH, ERR_DTYPE_MISMATCH, ERR_CONFIG, ERR_OUTPUT_*, ERR_TRAINING_CHANGED, ERR_TRAINING_STATE;
 * ERR_DEVICE_UNAVAILABLE; later with ERR_DIVERGED (earlier epochs stay), ERR_IO, ERR_NO_SPACE, ERR_OUT_OF_MEMORY,
 * ERR_DEVICE_MEMORY, ERR_DEVICE, or the abort reason.
 */
export async function finetune(options: FinetuneOptions & FinetuneRunOptions): Promise<FinetuneResult> {
  using _call = beginCall(options);
  const { signal, onProgress, onEpoch, ...given } = ownCopy(options);
  const began = performance.now();
  checkOptions(given);
  const training = resolveTraining(given, given.train.samples);
  await using base = await openCheckpoint(given.zeroshot, signal ? { signal } : {});
  checkOutputPath(given.out, [base]);
  const { head, activation, threads = 0 } = given;
  const { shape = [given.train.dimension] } = given.train;
  const network = await findTrainedNetwork(base, shape, {
    ...(head !== undefined && { head }),
    ...(activation && { activation }),
  });
  const device = trainingDevice(given.device, network);
  using engine = new Engine(networkEngine(device, threads));
  using session = new TrainingSession(engine, network, training, given, threads);
  const run = new Run(given, training, base, network, session, device, { signal, onProgress, onEpoch });
  const warnings = await run.go();
  return {
    directory: join(resolve(given.out), epochName(training.epochs)),
    ...(run.initial && { initial: run.initial }),
    epochs: run.epochs,
    trained: network.tensors.map(({ name }) => name),
    parameters: session.count,
    frozen: base.tensors.size - network.tensors.length,
    options: training,
    device,
    resumed: run.resumed,
    seconds: (performance.now() - began) / 1000,
    warnings,
  };
}

/** Rows are too little work for a GPU unless it is asked for. Throws ERR_USAGE for what is no device. */
function trainingDevice(device = 'auto', { sample }: TrainedNetwork): string {
  return device === 'auto' && sample.length === 1 ? 'cpu' : networkDevice({ device });
}

interface Listeners {
  readonly signal: AbortSignal | undefined;
  readonly onProgress: FinetuneRunOptions['onProgress'];
  readonly onEpoch: FinetuneRunOptions['onEpoch'];
}

const reportMs = 100;
/** A native call lasts about this long: short enough for progress, long enough to cost nothing. */
const callMs = 50;

/** One run over one session. */
class Run {
  initial: Measured | undefined;
  epochs: readonly EpochRecord[] = [];
  resumed = 0;
  readonly #options: FinetuneOptions;
  readonly #training: Training;
  readonly #base: Checkpoint;
  readonly #network: TrainedNetwork;
  readonly #session: TrainingSession;
  readonly #device: string;
  readonly #listeners: Listeners;
  readonly #schedule: Schedule;
  /** Of an epoch. */
  readonly #steps: number;
  #callSteps = 1;
  #reported = 0;

  constructor(
    options: FinetuneOptions,
    training: Training,
    base: Checkpoint,
    network: TrainedNetwork,
    session: TrainingSession,
    device: string,
    listeners: Listeners,
  ) {
    this.#options = options;
    this.#training = training;
    this.#base = base;
    this.#network = network;
    this.#session = session;
    this.#device = device;
    this.#listeners = listeners;
    this.#steps = Math.ceil(options.train.samples / training.batchSize);
    const { lr, warmup, epochs } = training;
    this.#schedule = { lr, warmup, steps: epochs * this.#steps };
  }

  /** Trains all epochs that are not there yet; gives warnings. */
  async go(): Promise<string[]> {
    const out = resolve(this.#options.out);
    const { resume = false, force = false } = this.#options;
    const { signal } = this.#listeners;
    const last = resume ? await (await import('./last-epoch.js')).findLastEpoch(out) : undefined;
    // Taken before an epoch is trained, not when it is written: two runs would both work for one result.
    const lock = async (epoch: number) =>
      epoch === 1
        ? await OutputTransaction.begin(out, { kind: 'finetune', force }, signal)
        : await OutputTransaction.begin(join(out, epochName(epoch)), {}, signal);
    const first = (last?.record.epochs.length ?? 0) + 1;
    const warnings: string[] = [];
    let transaction = first <= this.#training.epochs ? await lock(first) : undefined;
    try {
      const identity = await this.#load(signal);
      if (last) await this.#resume(last.directory, last.record, identity);
      else this.initial = await this.#evaluate();
      for (let epoch = first; epoch <= this.#training.epochs; epoch++) {
        transaction ??= await lock(epoch);
        const { directory, notes } = transaction;
        const record = await this.#epoch(epoch);
        await this.#session.trainer.store(signal);
        const epochs = [...this.epochs, record];
        const facts = { ...this.#facts(identity), epochs };
        const target = epoch === 1 ? join(directory, epochName(1)) : directory;
        const nonFinite = await writeEpoch(target, this.#base, this.#session, facts, signal);
        for (const [name, count] of Object.entries(nonFinite)) {
          warnings.push(`epoch ${epoch}: ${count} elements of ${name} are beyond the range of its dtype`);
        }
        signal?.throwIfAborted();
        await transaction.commit();
        warnings.push(...notes);
        transaction = undefined;
        this.epochs = epochs;
        this.#listeners.onEpoch?.(record, join(out, epochName(epoch)));
      }
      return warnings;
    } finally {
      await transaction?.rollback();
    }
  }

  /** Fills the session; gives what the run is. */
  async #load(signal: AbortSignal | undefined): Promise<Record<string, unknown>> {
    const { train, heldOut, head, activation } = this.#options;
    const session = this.#session;
    await session.loadParameters(this.#base, signal);
    const hash = xxh3.Xxh3.withSeed();
    for (const trained of session.trained) {
      const { buffer, byteOffset, byteLength } = session.elements('parameter', trained);
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
    return {
      ...this.#training,
      tensors: this.#network.tensors.map(({ name }) => name),
      layers: this.#network.layers,
      head: head ?? null,
      activation: activation ?? null,
      zeroshot: hexDigest(hash),
      train: await session.loadSet(train, session.train, signal),
      heldOut: heldOut && session.heldOut ? await session.loadSet(heldOut, session.heldOut, signal) : null,
    };
  }

  async #resume(directory: string, record: TrainingRecord, identity: Record<string, unknown>): Promise<void> {
    const keys = [...new Set([...Object.keys(identity), ...Object.keys(record.identity)])];
    const changed = keys.filter(
      (key) => JSON.stringify(identity[key]) !== JSON.stringify(record.identity[key]),
    );
    if (changed.length > 0) {
      throw new WisemergeError(
        'ERR_TRAINING_CHANGED',
        `the run in ${this.#options.out} was begun with other ${changed.join(', ')}`,
        {
          file: directory,
          hint: 'Resume with the same options and data, give another output directory (--out), or start again with force (--force).',
          details: { changed },
        },
      );
    }
    await readState(join(directory, stateDirectory, stateName), record.optimizer, this.#session);
    this.initial = record.initial;
    this.epochs = record.epochs;
    this.resumed = record.epochs.length;
  }

  #facts(identity: Record<string, unknown>): Omit<EpochFacts, 'epochs'> {
    const command = formatCommand(this.#options, this.#training);
    const { zeroshot } = this.#options;
    const initial = this.initial && { initial: this.initial };
    return { identity, ...initial, command, device: this.#device, zeroshot };
  }

  async #evaluate(): Promise<Measured | undefined> {
    const { trainer, heldOut } = this.#session;
    if (!heldOut) return undefined;
    const { loss, correct } = await trainer.evaluate(heldOut, this.#listeners.signal);
    if (!Number.isFinite(loss)) {
      throw new WisemergeError('ERR_DIVERGED', 'the loss of the held-out set is not finite', {
        hint: 'Look for NaN, infinite or huge numbers in its features, or lower the learning rate (--lr).',
      });
    }
    return { loss: loss / heldOut.samples, top1: correct / heldOut.samples };
  }

  async #epoch(epoch: number): Promise<EpochRecord> {
    const { seed, balanced, batchSize, lr } = this.#training;
    const { trainer, train } = this.#session;
    const before = (epoch - 1) * this.#steps;
    let [loss, correct, samples, largestGradientNorm, learningRate] = [0, 0, 0, 0, lr];
    for (let first = 0; first < this.#steps; ) {
      const rates = learningRates(
        this.#schedule,
        before + first,
        Math.min(this.#callSteps, this.#steps - first),
      );
      const start = performance.now();
      const result = await trainer.train(
        train,
        {
          ...{ seed, epoch, balanced, first, rates },
          batchSize: Math.min(batchSize, train.samples),
          updates: before + first,
        },
        this.#listeners.signal,
      );
      // Step by step, so that the sum does not depend on how steps were shared out among calls.
      for (const step of result.losses) loss += step;
      if (result.diverged !== undefined) {
        throw diverged(
          epoch,
          first + result.diverged,
          before + first + result.diverged === 0,
          rates[result.diverged]!,
        );
      }
      correct += result.correct;
      samples += result.samples;
      largestGradientNorm = Math.max(largestGradientNorm, result.largestNorm);
      learningRate = rates.at(-1)!;
      first += rates.length;
      if (performance.now() - start < callMs) this.#callSteps *= 2;
      else if (this.#callSteps > 1) this.#callSteps /= 2;
      this.#report(epoch, first, loss / samples);
    }
    const heldOut = await this.#evaluate();
    return {
      epoch,
      loss: loss / samples,
      top1: correct / samples,
      learningRate,
      largestGradientNorm,
      ...(heldOut && { heldOut }),
    };
  }

  #report(epoch: number, step: number, loss: number): void {
    const now = performance.now();
    if (step < this.#steps && now - this.#reported < reportMs) return;
    this.#reported = now;
    const { epochs } = this.#training;
    this.#listeners.onProgress?.({ epoch, epochs, step, steps: this.#steps, loss });
  }
}

function diverged(epoch: number, step: number, atOnce: boolean, learningRate: number): WisemergeError {
  return new WisemergeError(
    'ERR_DIVERGED',
    `training diverged: the loss or its gradient is not finite at epoch ${epoch}, step ${step + 1}` +
      ` (learning rate ${learningRate.toPrecision(3)})`,
    {
      hint: atOnce
        ? 'Before the first update: look for NaN, infinite or huge numbers in the features.'
        : 'Lower the learning rate (--lr), or warm up for longer (--warmup). Earlier epochs are kept.',
      details: { epoch, step: step + 1, learningRate },
    },
  );
}
