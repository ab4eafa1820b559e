import { type Checkpoint, readConfig } from '../checkpoint/checkpoint.js';
import { elementCount, formatShape, type TensorInfo } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { checkTrained, findNetwork, type NetworkOptions } from '../eval/dense-network.js';
import { findWeight } from '../eval/linear-head.js';
import type { BoundPart } from '../eval/programs/architecture.js';
import { ProgramBuilder, type Rows } from '../eval/programs/builder.js';
import { chain } from '../eval/programs/mlp.js';
import { findArchitecture } from '../eval/programs/registry.js';
import { WeightTable } from '../eval/programs/weight-table.js';

/** A network to train, as programs. */
export interface TrainedNetwork {
  /** The trained tensors, numbered as the programs' parameters are. */
  readonly tensors: readonly TensorInfo[];
  /** Shape of a sample: [D], or [channels, height, width] of a picture. */
  readonly sample: readonly number[];
  readonly classes: number;
  /** What is computed, for telling one network from another; JSON. */
  readonly layers: unknown;
  /** The program for a batch of this many samples. */
  build(samples: number): NetworkProgram;
}

export interface NetworkProgram {
  readonly builder: ProgramBuilder;
  /** Numbers of values. */
  readonly input: number;
  readonly output: number;
}

const openClipConfig = 'open_clip_config.json';

/**
 * Finds what of a checkpoint is trained on samples of one shape. Pictures train a network that takes `pixel_values`
 * whole: ViT with its classifier, or CLIP's vision tower with a linear head on its embeddings. Rows train an MLP
 * whole, or the linear head of any other model (`findNetwork`).
 *
 * Throws as `findNetwork`, and ERR_CONFIG and ERR_DATA_MISMATCH for pictures that the network does not take.
 */
export async function findTrainedNetwork(
  checkpoint: Checkpoint,
  sample: readonly number[],
  options: NetworkOptions = {},
): Promise<TrainedNetwork> {
  return sample.length === 1
    ? rowNetwork(checkpoint, options)
    : await pictureNetwork(checkpoint, sample, options);
}

function rowNetwork(checkpoint: Checkpoint, options: NetworkOptions): TrainedNetwork {
  const { layers, tensors, inputs, classes } = findNetwork(checkpoint, options);
  const table = new WeightTable(checkpoint);
  return {
    tensors,
    sample: [inputs],
    classes,
    layers: layers.map(({ kind, inputs, outputs }) => [kind, inputs, outputs]),
    build(samples) {
      const builder = new ProgramBuilder(table);
      const input = builder.input('features', 'f32', samples, inputs);
      return { builder, input: input.id, output: chain(builder, input, layers).id };
    },
  };
}

async function pictureNetwork(
  checkpoint: Checkpoint,
  sample: readonly number[],
  { head, activation }: NetworkOptions,
): Promise<TrainedNetwork> {
  if (activation !== undefined) {
    throw new WisemergeError(
      'ERR_USAGE',
      'activation: it is for MLPs; for a network that takes pictures, config.json names it',
    );
  }
  const { directory, path } = checkpoint;
  const config =
    checkpoint.config ?? (directory === undefined ? undefined : await readConfig(directory, openClipConfig));
  const table = new WeightTable(checkpoint);
  const { name, parts } = findArchitecture(checkpoint, config, table);
  const part = parts.find(({ needs }) => needs.length === 1 && needs[0] === 'pixel_values');
  if (!part) {
    throw new WisemergeError(
      'ERR_DATA_MISMATCH',
      `${path} (${name}) takes no pictures; the training set has samples of ${formatShape(sample)}`,
      { file: path, hint: 'Train it on features: one row of numbers for each sample.' },
    );
  }
  // What the part is bound to says nothing but its shape.
  const data = new Uint8Array(4 * elementCount(sample));
  const pixels = new Map([['pixel_values', { dtype: 'F32' as const, shape: [1, ...sample], data }]]);
  const bound = part.bind(pixels, new Map(), () => true);
  const build = (samples: number) =>
    writeProgram(new ProgramBuilder(table), bound, samples, checkpoint, head);
  const { builder, output } = build(1);
  const { values, ops } = builder.rows;
  const tensors = table.names.map((tensor) => table.info(tensor));
  for (const tensor of tensors) checkTrained(tensor);
  return {
    tensors,
    sample,
    classes: values[output]!.count,
    layers: [name, ...ops.map(({ kind, sizes }) => [kind, ...sizes])],
    build,
  };
}

function writeProgram(
  builder: ProgramBuilder,
  part: BoundPart,
  samples: number,
  checkpoint: Checkpoint,
  head: string | undefined,
): NetworkProgram {
  part.build(builder, samples);
  const input = builder.inputs[0]!.id;
  const own = builder.outputs.find(({ name }) => name === 'logits');
  if (own) {
    if (head === undefined) return { builder, input, output: own.id };
    throw new WisemergeError(
      'ERR_USAGE',
      `head: ${checkpoint.path} is trained whole on pictures, its head included`,
      {
        hint: 'To train the head alone, give features: one row of numbers for each sample.',
      },
    );
  }
  const { id, shape } = builder.outputs[0]!;
  const embeddings: Rows = { id, rows: samples, width: shape.at(-1)! };
  const weight = findHead(checkpoint, head);
  return { builder, input, output: builder.linear(embeddings, weight.name).id };
}

/** Throws ERR_NO_SUCH_TENSOR, where nothing was named with how a CLIP model gets a head. */
function findHead(checkpoint: Checkpoint, head: string | undefined): TensorInfo {
  try {
    return findWeight(checkpoint, checkpoint.path, head);
  } catch (error) {
    if (head !== undefined || !(error instanceof WisemergeError)) throw error;
    const { code, message, hint, file = checkpoint.path } = error;
    throw new WisemergeError(code, message, {
      file,
      hint: `${hint} Or train a copy of the model with a zero-shot head in it: wisemerge head --in-model.`,
      cause: error,
    });
  }
}
