import { xxh3 } from '@node-rs/xxhash';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { elementCount, formatShape, itemSize } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { Arena, ArenaLayout } from '../eval/arena.js';
import { hexDigest } from '../hex-digest.js';
import { Trainer, type TrainerProgram, type TrainingRows } from '../native/trainer.js';
import { dtypeByName, type Engine } from '../native.js';
import type { Training, TrainingSet } from './options.js';
import { convertElements, placeTensors, readParameters, type TrainedTensor } from './parameters.js';
import type { TrainedNetwork } from './trained-network.js';

/** Bytes of features read at once. */
const pieceBytes = 16 * 2 ** 20;

/** What a set is, for telling whether a run goes on with the same data. */
export interface SetIdentity {
  readonly samples: number;
  readonly dimension: number;
  readonly featureDtype: string;
  /** XXH3-64 of features and labels, 16 hex digits. */
  readonly xxh3: string;
}

/** The arrays of a run: f32 parameters and AdamW's moments, counted in elements. */
export type StateArray = 'parameter' | 'exp_avg' | 'exp_avg_sq';

/** Everything of a run that lies in native memory: parameters, moments, samples; and the trainer over it. */
export class TrainingSession implements Disposable {
  readonly trained: readonly TrainedTensor[];
  /** Trained parameters. */
  readonly count: number;
  readonly trainer: Trainer;
  readonly train: TrainingRows;
  readonly heldOut: TrainingRows | undefined;
  readonly #engine: Engine;
  readonly #arena: Arena;
  readonly #arrays: Readonly<Record<StateArray, number>>;
  readonly #stored: number;

  /** Memory is reserved, not filled. Throws ERR_OUT_OF_MEMORY, ERR_DATA_MISMATCH. */
  constructor(
    engine: Engine,
    network: TrainedNetwork,
    training: Training,
    sets: { readonly train: TrainingSet; readonly heldOut?: TrainingSet | undefined },
    threads: number,
  ) {
    checkSet('the training set', sets.train, network);
    if (sets.heldOut) checkSet('the held-out set', sets.heldOut, network);
    this.#engine = engine;
    const { trained, count } = placeTensors(network.tensors);
    this.trained = trained;
    this.count = count;
    const layout = new ArenaLayout();
    this.#arrays = {
      parameter: layout.reserve(4 * count),
      exp_avg: layout.reserve(4 * count),
      exp_avg_sq: layout.reserve(4 * count),
    };
    this.#stored = layout.reserve(Math.max(...network.tensors.map(({ bytes }) => bytes)));
    this.train = placeSet(layout, sets.train);
    this.heldOut = sets.heldOut && placeSet(layout, sets.heldOut);
    const programs = sizesOf(training, sets).map((size) => placeProgram(layout, network, size));
    this.#arena = new Arena(layout);
    for (const { constants } of programs) {
      for (const { offset, data } of constants) this.#place(offset, data);
    }
    this.trainer = new Trainer(engine, this.#arena.buffer, {
      tensors: trained.map(({ tensor }) => tensor.count),
      programs: programs.map(({ program }) => program),
      count,
      parameters: this.#arrays.parameter,
      firstMoment: this.#arrays.exp_avg,
      secondMoment: this.#arrays.exp_avg_sq,
      threads,
      weightDecay: training.weightDecay,
      labelSmoothing: training.labelSmoothing,
      clip: training.clip,
    });
  }

  /** A tensor's elements in one of the arrays, as f32. */
  elements(array: StateArray, { tensor, start }: TrainedTensor): Float32Array {
    return this.#arena.floats(this.#arrays[array] + 4 * start, tensor.count);
  }

  /** Fills the parameters from the checkpoint. Throws ERR_DATA for a tensor with NaN or infinite elements. */
  async loadParameters(checkpoint: Checkpoint, signal?: AbortSignal): Promise<void> {
    const { parameter } = this.#arrays;
    await readParameters(
      this.#engine,
      this.#arena,
      checkpoint,
      this.trained,
      parameter,
      this.#stored,
      signal,
    );
  }

  /**
   * A trained tensor in its own dtype, rounded to nearest even, and its number of NaN and infinite elements. The
   * bytes are those of a scratch region: valid until the next call.
   */
  async storedTensor({ tensor, start }: TrainedTensor): Promise<{ bytes: Uint8Array; nonFinite: number }> {
    const from = { dtype: 'F32', at: this.#arrays.parameter + 4 * start };
    const to = { dtype: tensor.dtype, at: this.#stored };
    const nonFinite = await convertElements(this.#engine, this.#arena, from, to, tensor.count);
    return { bytes: this.#arena.bytes(this.#stored, tensor.bytes), nonFinite };
  }

  /** Reads a set to where `rows` says. */
  async loadSet(set: TrainingSet, rows: TrainingRows, signal?: AbortSignal): Promise<SetIdentity> {
    const { samples, dimension, featureDtype, labels } = set;
    const hash = xxh3.Xxh3.withSeed();
    const rowBytes = dimension * itemSize(featureDtype);
    const rowsAtOnce = Math.max(1, Math.floor(pieceBytes / rowBytes));
    for (let first = 0; first < samples; first += rowsAtOnce) {
      signal?.throwIfAborted();
      const count = Math.min(rowsAtOnce, samples - first);
      const piece = this.#arena.bytes(rows.features + first * rowBytes, count * rowBytes);
      await set.readFeatures(first, count, piece);
      hash.update(piece);
    }
    this.#arena.ints(rows.labels, samples).set(labels);
    hash.update(this.#arena.bytes(rows.labels, 4 * samples));
    return { samples, dimension, featureDtype, xxh3: hexDigest(hash) };
  }

  #place(offset: number, data: Int32Array | Float32Array): void {
    if (data instanceof Int32Array) this.#arena.ints(offset, data.length).set(data);
    else this.#arena.floats(offset, data.length).set(data);
  }

  [Symbol.dispose](): void {
    this.trainer.close();
    this.#arena[Symbol.dispose]();
  }
}

function placeSet(layout: ArenaLayout, { samples, dimension, featureDtype }: TrainingSet): TrainingRows {
  return {
    samples,
    dimension,
    dtype: dtypeByName(featureDtype)!.index,
    features: layout.reserve(samples * dimension * itemSize(featureDtype)),
    labels: layout.reserve(4 * samples),
  };
}

/** Samples of the batches of a run: whole ones, and what they leave of each set. */
function sizesOf(
  { batchSize }: Training,
  { train, heldOut }: { readonly train: TrainingSet; readonly heldOut?: TrainingSet | undefined },
): number[] {
  const whole = Math.min(batchSize, train.samples);
  const rests = [train, heldOut].map((set) => (set?.samples ?? 0) % whole);
  return [...new Set([whole, ...rests.filter((rest) => rest > 0)])];
}

interface PlacedProgram {
  readonly program: TrainerProgram;
  readonly constants: readonly { readonly offset: number; readonly data: Int32Array | Float32Array }[];
}

/** A program with room for its constants. */
function placeProgram(layout: ArenaLayout, network: TrainedNetwork, samples: number): PlacedProgram {
  const { builder, input, output } = network.build(samples);
  const constants = builder.constants.map(({ id, data }) => {
    return { id, data, offset: layout.reserve(data.byteLength) };
  });
  const offsets = new Map(constants.map(({ id, offset }) => [id, offset]));
  const { values, ops } = builder.rows;
  const placed = values.map((value, id) => {
    const offset = offsets.get(id);
    return offset === undefined ? value : { ...value, offset };
  });
  return { program: { samples, input, output, rows: { values: placed, ops } }, constants };
}

function checkSet(what: string, set: TrainingSet, { sample, classes, tensors }: TrainedNetwork): void {
  const { samples, dimension, shape = [dimension], labels } = set;
  const which = set.name === undefined ? what : `${what} (${set.name})`;
  if (formatShape(shape) !== formatShape(sample) || dimension !== elementCount(shape)) {
    const has = (dims: readonly number[]) =>
      dims.length === 1 ? `features of ${dims[0]} numbers` : `pictures of ${formatShape(dims)}`;
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `${which} has ${has(shape)}; ${tensors[0]!.name} takes ${sample.length === 1 ? sample[0] : has(sample)}`,
      { tensor: tensors[0]!.name, hint: 'Features must come from the encoder that the model was made for.' },
    );
  }
  if (samples === 0 || labels.length !== samples) {
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `${which} has ${samples} samples and ${labels.length} labels`,
      { hint: 'Give one label for each of at least one row of features.' },
    );
  }
  const wrong = labels.findIndex((label) => !(Number.isInteger(label) && label >= 0 && label < classes));
  if (wrong >= 0) {
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `${which}: label ${labels[wrong]} of row ${wrong} is ${Number.isInteger(labels[wrong]) ? `outside 0..${classes - 1}` : 'not a whole number'}`,
      { hint: "Labels are the classes' numbers in the head's order." },
    );
  }
}
