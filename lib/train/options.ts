import { WisemergeError } from '../errors.js';
import { type Activation, activations } from '../eval/dense-network.js';
import type { FeatureSet } from '../eval/head-session.js';
import type { HeadDType } from '../eval/linear-head.js';
import { maxThreads } from '../merge/option-checks.js';

/**
 * Samples to train on or to watch. Features are taken as they are: CLIP's are saved L2-normalised, pictures as
 * `pixel_values`.
 */
export type TrainingSet = Omit<FeatureSet, 'name'> & {
  readonly name?: string;
  /** Where images were decoded from, for the command that is recorded (`openTrainingImages`). */
  readonly images?: string;
  /** The file that the classes of images were named in, likewise. */
  readonly classNamesFile?: string;
  /** Of a sample: [channels, height, width] of a picture. Default: [dimension]. */
  readonly shape?: readonly number[];
};

/** What to train, on what, and how. Defaults are those of the WiSE-FT repository. */
export interface FinetuneOptions {
  /** θ₀, where training starts: a .safetensors file, an index, or a model directory. */
  readonly zeroshot: string;
  /** Samples to train on: pictures for the network, or rows for its first layer. */
  readonly train: TrainingSet;
  /** Samples to watch after each epoch. They change nothing. */
  readonly heldOut?: TrainingSet;
  /** Directory to create; epoch N goes to `out/epoch_000N`. */
  readonly out: string;
  /**
   * Weight of the linear head. On rows it is trained alone; default: an MLP whole, of any other model its head. On
   * pictures it is that on CLIP's embeddings; default: the matrix that has the name of a classifier.
   */
  readonly head?: string;
  /** Between linear layers of an MLP. Default: config.json's, else `gelu`. */
  readonly activation?: Activation;
  /** Default 10. */
  readonly epochs?: number;
  /** Default 128. */
  readonly batchSize?: number;
  /** Largest learning rate. Default 1e-3. */
  readonly lr?: number;
  /** Decoupled, of every parameter. Default 0.1. */
  readonly weightDecay?: number;
  /** Share of the target that is spread over all classes, in [0, 1). Default 0. */
  readonly labelSmoothing?: number;
  /** Largest norm of the whole gradient; 0 for none. Default 1. */
  readonly clip?: number;
  /** Steps of linear warm-up. Default: 500, or a tenth of all steps if that is less. */
  readonly warmup?: number;
  /** Of the order of samples, 0 to 2^32 - 1. Default 0. */
  readonly seed?: number;
  /** Draw every class equally often. Default: visit every sample once an epoch. */
  readonly balanced?: boolean;
  /**
   * `cpu`, `cuda` or `cuda:N`; `auto`: for pictures a GPU if one can be used, else the CPU. Results do not depend on it.
   * Default: `auto`.
   */
  readonly device?: string;
  /** CPU threads; results do not depend on them. Default: all. */
  readonly threads?: number;
  /** Replace an earlier output of the same command. */
  readonly force?: boolean;
  /** Go on behind the last complete epoch in `out`. */
  readonly resume?: boolean;
}

/** The options that decide what comes out, with defaults filled in. */
export interface Training {
  readonly epochs: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly weightDecay: number;
  readonly labelSmoothing: number;
  readonly clip: number;
  readonly warmup: number;
  readonly seed: number;
  readonly balanced: boolean;
}

type Check = (value: unknown) => string | undefined;

const text: Check = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'must be a non-empty string';
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');
const whole =
  (minimum: number, limit = 2 ** 31): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= minimum && (value as number) < limit
      ? undefined
      : `must be a whole number from ${minimum} to ${limit - 1}`;
const from0: Check = (value) =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? undefined : 'must be a number from 0';
const dtypes: readonly string[] = ['F32', 'F16', 'BF16'] satisfies HeadDType[];
/** Labels are told one by one, with their row, where the network is known. */
const set: Check = (value) => {
  if (typeof value !== 'object' || value === null || !('readFeatures' in value)) {
    return 'must be an object with samples, dimension, featureDtype, labels and readFeatures';
  }
  const { samples, dimension, featureDtype, labels, readFeatures } = value as Record<string, unknown>;
  if (typeof readFeatures !== 'function') return 'readFeatures must be a function';
  const wrong = Object.entries({ samples: whole(0)(samples), dimension: whole(1)(dimension) }).find(
    ([, why]) => why !== undefined,
  );
  if (wrong) return wrong.join(' ');
  if (!dtypes.includes(featureDtype as string)) return `featureDtype must be one of ${dtypes.join(', ')}`;
  const listed = Array.isArray(labels) || (ArrayBuffer.isView(labels) && !(labels instanceof DataView));
  return listed ? undefined : 'labels must be an array of class numbers, such as an Int32Array';
};

const checks: { readonly [Option in keyof Required<FinetuneOptions>]: Check } = {
  zeroshot: text,
  train: set,
  heldOut: set,
  out: text,
  head: text,
  activation: (value) =>
    activations.includes(value as Activation) ? undefined : `must be one of ${activations.join(', ')}`,
  epochs: whole(1),
  batchSize: whole(1, 2 ** 20 + 1),
  lr: from0,
  weightDecay: from0,
  labelSmoothing: (value) =>
    typeof value === 'number' && value >= 0 && value < 1 ? undefined : 'must be a number from 0 to below 1',
  clip: from0,
  warmup: whole(0),
  seed: whole(0, 2 ** 32),
  balanced: flag,
  device: text,
  threads: whole(1, maxThreads + 1),
  force: flag,
  resume: flag,
};
const required = new Set(['zeroshot', 'train', 'out']);

/** Checks the options' names, types and ranges. Throws ERR_USAGE naming the option. */
export function checkOptions(options: FinetuneOptions): void {
  for (const option of Object.keys(options)) {
    if (!Object.hasOwn(checks, option)) {
      throw usage(option, `unknown option; known are ${Object.keys(checks).join(', ')}`);
    }
  }
  for (const [option, check] of Object.entries(checks)) {
    const value = options[option as keyof FinetuneOptions];
    if (value === undefined && !required.has(option)) continue;
    const why = value === undefined ? 'is missing' : check(value);
    if (why !== undefined) throw usage(option, why);
  }
}

/** Fills in defaults for a run on `samples` samples. Throws ERR_USAGE where the warm-up does not end. */
export function resolveTraining(options: FinetuneOptions, samples: number): Training {
  const { epochs = 10, batchSize = 128, lr = 1e-3, weightDecay = 0.1, labelSmoothing = 0 } = options;
  const { clip = 1, seed = 0, balanced = false } = options;
  const steps = epochs * Math.ceil(samples / batchSize);
  const { warmup = Math.min(500, Math.floor(steps / 10)) } = options;
  if (warmup >= steps) {
    throw usage('warmup', `${warmup} steps of warm-up leave nothing of the ${steps} steps of the run`);
  }
  return { epochs, batchSize, lr, weightDecay, labelSmoothing, clip, warmup, seed, balanced };
}

function usage(option: string, why: string): WisemergeError {
  return new WisemergeError('ERR_USAGE', `${option}: ${why}`, { details: { option } });
}
