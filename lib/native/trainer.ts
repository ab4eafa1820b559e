// Training natively: see native/train/trainer.h; the numbers are those of native/train/train_rows.h.
import { type Engine, type HostBuffer, nativeBuffer, nativeEngine } from '../native.js';
import { addon, call, type NativeTrainer, run } from './addon.js';
import { type ProgramRows, programNumbers } from './network.js';

/** A network for one size of batch. Its values but the input lie in the arena, or nowhere. */
export interface TrainerProgram {
  readonly samples: number;
  /** Numbers of values: what a batch is put into, and a row of logits for each sample. */
  readonly input: number;
  readonly output: number;
  readonly rows: ProgramRows;
}

export interface TrainerOptions {
  /** Elements of each tensor, numbered as the programs' parameters are. */
  readonly tensors: readonly number[];
  /** One for each size of batch that calls need. */
  readonly programs: readonly TrainerProgram[];
  /** All parameters, and byte offsets of f32 arrays of as many: themselves, tensor by tensor, and AdamW's moments. */
  readonly count: number;
  readonly parameters: number;
  readonly firstMoment: number;
  readonly secondMoment: number;
  /** 0: all. */
  readonly threads: number;
  readonly weightDecay: number;
  readonly labelSmoothing: number;
  /** 0: no clipping. */
  readonly clip: number;
}

/** Samples in the arena, at byte offsets: `features` [samples, dimension] of a dtype's index, `labels` in i32. */
export interface TrainingRows {
  readonly samples: number;
  readonly dimension: number;
  readonly dtype: number;
  readonly features: number;
  readonly labels: number;
}

/** A part of one epoch: as many steps as learning rates. */
export interface StepsOptions {
  readonly seed: number;
  /** From 1. */
  readonly epoch: number;
  readonly balanced: boolean;
  readonly batchSize: number;
  /** The first step, counted from 0 in the epoch. */
  readonly first: number;
  /** Updates made before, in all epochs. */
  readonly updates: number;
  readonly rates: Float64Array;
}

export interface StepsResult {
  /** Of each step done: summed over its batch, in nats, before the update. */
  readonly losses: Float64Array;
  readonly correct: number;
  readonly samples: number;
  /** Of the gradients, before clipping. */
  readonly largestNorm: number;
  /** The step, counted from `first`, whose loss or gradient was not finite; the last. */
  readonly diverged: number | undefined;
}

// AdamW's usual constants (Kingma and Ba, 2015).
const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
const stepColumns = 4;

/**
 * A network under training, whose parameters and moments lie in `arena`, filled before the first call. A GPU holds
 * them from then on: `arena` has them again behind `store`.
 */
export class Trainer implements Disposable {
  readonly #native: NativeTrainer;

  constructor(engine: Engine, arena: HostBuffer, options: TrainerOptions) {
    const { tensors, programs, count, parameters, firstMoment, secondMoment, threads } = options;
    const { weightDecay, labelSmoothing, clip } = options;
    const numbers = [
      ...[count, parameters, firstMoment, secondMoment, threads],
      ...[beta1, beta2, epsilon, weightDecay, labelSmoothing, clip],
      ...[tensors.length, ...tensors],
      ...programs.flatMap(({ samples, input, output, rows }) => {
        const program = programNumbers(rows);
        return [samples, input, output, program.length, ...program];
      }),
    ];
    this.#native = call(
      () => new addon.Trainer(nativeEngine(engine), nativeBuffer(arena), Float64Array.from(numbers)),
    );
  }

  /** Rejects with the signal's reason; the state is then that of some step between. */
  async train(data: TrainingRows, steps: StepsOptions, signal?: AbortSignal): Promise<StepsResult> {
    const { seed, epoch, balanced, batchSize, first, updates, rates } = steps;
    const numbers = [...rowsOf(data), seed, epoch, Number(balanced), batchSize, first, updates];
    const result = await run(() => this.#native.train(Float64Array.from(numbers), rates), signal);
    const [correct, samples, largestNorm, diverged] = result as unknown as [number, number, number, number];
    return {
      losses: result.subarray(stepColumns),
      correct,
      samples,
      largestNorm,
      diverged: diverged < 0 ? undefined : diverged,
    };
  }

  /** Cross-entropy without label smoothing, in nats, and hits, summed over all samples. */
  async evaluate(data: TrainingRows, signal?: AbortSignal): Promise<{ loss: number; correct: number }> {
    const result = await run(() => this.#native.evaluate(Float64Array.from(rowsOf(data))), signal);
    return { loss: result[0]!, correct: result[1]! };
  }

  /** Brings parameters and moments to the arena. */
  async store(signal?: AbortSignal): Promise<void> {
    await run(() => this.#native.store(), signal);
  }

  /** Lets go of the network's memory once the jobs already started have ended. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function rowsOf({ samples, dimension, dtype, features, labels }: TrainingRows): number[] {
  return [samples, dimension, dtype, features, labels];
}
