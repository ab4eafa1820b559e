import { join } from 'node:path';
import type { FinetuneOptions, TrainingSet } from '../../lib/train/options.js';
import { noise } from './heads.js';
import { type ModelOptions, writeModel } from './models.js';
import { randomBf16, randomF32 } from './random.js';
import { type Tensor, tensor } from './safetensors.js';
import { tempDir } from './temp.js';

/** Samples of classes that lie apart along axes of their own: a linear head can tell them all. */
export function separable(samples: number, classes: number, dimension: number, seed = 1): TrainingSet {
  const random = noise(seed);
  const labels = Int32Array.from({ length: samples }, (_, i) => i % classes);
  const features = Float32Array.from({ length: samples * dimension }, (_, at) => {
    const axis = at % dimension;
    return 0.4 * random() + Number(axis === labels[Math.floor(at / dimension)]!);
  });
  const bytes = new Uint8Array(features.buffer);
  const rowBytes = 4 * dimension;
  return {
    samples,
    dimension,
    featureDtype: 'F32',
    labels,
    readFeatures: async (first, count, into) => {
      into.set(bytes.subarray(first * rowBytes, (first + count) * rowBytes));
    },
  };
}

/** [classes, dimension] without a bias, as a zero-shot head is. */
export const headTensors = (classes: number, dimension: number): Tensor[] => [
  tensor('head.weight', 'F32', [classes, dimension], randomF32(classes * dimension, 3)),
];

/** A torch Sequential of Linear, LayerNorm, GELU (no tensors) and Linear. */
export function mlpTensors(
  sizes: readonly [number, number, number],
  dtype: 'F32' | 'BF16' = 'F32',
): Tensor[] {
  const [inputs, hidden, classes] = sizes;
  const random = dtype === 'F32' ? randomF32 : randomBf16;
  const ones = dtype === 'F32' ? new Float32Array(hidden).fill(1) : new Uint16Array(hidden).fill(0x3f80);
  return [
    tensor('0.weight', dtype, [hidden, inputs], random(hidden * inputs, 5)),
    tensor('0.bias', dtype, [hidden], random(hidden, 6)),
    tensor('1.weight', dtype, [hidden], ones),
    tensor('1.bias', dtype, [hidden]),
    tensor('3.weight', dtype, [classes, hidden], random(classes * hidden, 7)),
    tensor('3.bias', dtype, [classes], random(classes, 8)),
  ];
}

/** A model on disk and what trains it in a moment. */
export async function trainingProject(
  tensors: readonly Tensor[],
  model: ModelOptions = {},
): Promise<FinetuneOptions & { readonly root: string }> {
  const root = await tempDir();
  const zeroshot = writeModel(join(root, 'zeroshot'), tensors, model);
  return {
    root,
    zeroshot,
    train: separable(203, 4, 12),
    heldOut: separable(90, 4, 12, 2),
    out: join(root, 'out'),
    epochs: 4,
    batchSize: 32,
    lr: 1e-2,
    threads: 2,
  };
}
