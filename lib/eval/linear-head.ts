import { xxh3 } from '@node-rs/xxhash';
import { type Checkpoint, type ModelSource, openCheckpoint } from '../checkpoint/checkpoint.js';
import { formatShape, type TensorInfo } from '../checkpoint/tensor.js';
import { toFloats } from '../checkpoint/to-floats.js';
import { WisemergeError } from '../errors.js';
import { hexDigest } from '../hex-digest.js';
import { asBytes, refuseNonFinite } from './head-range.js';

/** The dtypes that heads and features are computed from. */
export type HeadDType = 'F32' | 'F16' | 'BF16';

/** A linear classifier at both ends of the path: logits = features W^T + b. */
export interface HeadPair {
  /** Rows of W. */
  readonly classes: number;
  /** Columns of W: the length of a feature vector. */
  readonly dimension: number;
  /** Of both weights, as stored. */
  readonly dtype: HeadDType;
  /** [classes, dimension], row-major, of the zero-shot and of the fine-tuned model. */
  readonly zeroshot: Uint8Array;
  readonly finetuned: Uint8Array;
  /** [classes] each; absent when neither model has a bias. */
  readonly biases?: { readonly zeroshot: Float32Array; readonly finetuned: Float32Array };
  /** Name of the weight. */
  readonly name: string;
}

export interface HeadOptions {
  /** Name of the weight tensor. Default: the only one that looks like a classifier. */
  readonly head?: string;
  readonly signal?: AbortSignal;
}

const usualNames = ['head.weight', 'classifier.weight', 'fc.weight', 'classification_head.weight'];

/**
 * Reads the linear heads of two checkpoints (files or directories).
 *
 * Throws ERR_NO_SUCH_TENSOR, ERR_SHAPE_MISMATCH, ERR_DTYPE_MISMATCH, ERR_DATA for elements that are NaN or infinite, and what
 * opening a checkpoint throws.
 */
export async function openHeads(
  zeroshot: ModelSource,
  finetuned: ModelSource,
  options: HeadOptions = {},
): Promise<HeadPair> {
  const opening = options.signal ? { signal: options.signal } : {};
  await using a = await openCheckpoint(zeroshot, opening);
  await using b = await openCheckpoint(finetuned, opening);
  const weight0 = findWeight(a, String(zeroshot), options.head);
  const weight1 = findWeight(b, String(finetuned), weight0.name);
  const [classes, dimension] = weight0.shape as [number, number];
  if (weight1.shape[0] !== classes || weight1.shape[1] !== dimension) {
    throw new WisemergeError(
      'ERR_SHAPE_MISMATCH',
      `${weight0.name} is ${formatShape(weight0.shape)} in ${zeroshot} and ${formatShape(weight1.shape)} in ${finetuned}`,
      {
        tensor: weight0.name,
        file: weight1.file,
        hint: 'Both heads must have the same classes and features.',
      },
    );
  }
  const [bytes0, bytes1] = [await a.readTensor(weight0.name), await b.readTensor(weight1.name)];
  const stored = weight0.dtype === weight1.dtype && isHeadDType(weight0.dtype);
  const dtype = stored ? (weight0.dtype as HeadDType) : 'F32';
  const ends = stored
    ? ([bytes0, bytes1] as const)
    : ([
        asBytes(toFloats(bytes0, weight0.dtype, weight0.name)),
        asBytes(toFloats(bytes1, weight1.dtype, weight1.name)),
      ] as const);
  for (const [i, info] of [weight0, weight1].entries()) refuseNonFinite(ends[i]!, dtype, info);
  const biases = await readBiases(a, b, weight0.name, classes);
  return {
    classes,
    dimension,
    name: weight0.name,
    dtype,
    zeroshot: ends[0],
    finetuned: ends[1],
    ...(biases && { biases }),
  };
}

/** XXH3-64 of both weights and biases, 16 hex digits. */
export function headHash({ zeroshot, finetuned, biases }: HeadPair): string {
  const parts = [zeroshot, finetuned, ...(biases ? [biases.zeroshot, biases.finetuned] : [])];
  const state = xxh3.Xxh3.withSeed();
  for (const part of parts) state.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  return hexDigest(state);
}

function isHeadDType(dtype: string): dtype is HeadDType {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}

/** The weight matrix of the only linear classifier, or the one named. Throws ERR_NO_SUCH_TENSOR. */
export function findWeight(checkpoint: Checkpoint, path: string, wanted: string | undefined): TensorInfo {
  const matrices = [...checkpoint.tensors.values()].filter(({ shape }) => shape.length === 2);
  if (wanted !== undefined) {
    const found = matrices.find(({ name }) => name === wanted);
    if (found) return found;
    throw new WisemergeError('ERR_NO_SUCH_TENSOR', `${path} has no matrix ${wanted}`, {
      tensor: wanted,
      file: path,
      hint: `Its matrices: ${list(matrices)}.`,
    });
  }
  // `weight` alone is the state of a torch Linear; behind a dot it is every matrix's name.
  const usual = matrices.filter(
    ({ name }) => name === 'weight' || usualNames.some((n) => name === n || name.endsWith(`.${n}`)),
  );
  const candidates = matrices.length === 1 ? matrices : usual;
  if (candidates.length === 1) return candidates[0]!;
  throw new WisemergeError(
    'ERR_NO_SUCH_TENSOR',
    candidates.length === 0
      ? `${path} has no matrix with the name of a classifier`
      : `${path} has ${candidates.length} matrices with the name of a classifier`,
    { file: path, hint: `Name one with head (--head). The matrices: ${list(matrices)}.` },
  );
}

function list(tensors: readonly TensorInfo[]): string {
  const names = tensors.slice(0, 8).map(({ name }) => name);
  return names.join(', ') + (tensors.length > names.length ? `, … (${tensors.length})` : '') || 'none';
}

async function readBiases(a: Checkpoint, b: Checkpoint, weight: string, classes: number) {
  const name = weight.replace(/weight$/, 'bias');
  if (name === weight) return undefined;
  const read = async (checkpoint: Checkpoint) => {
    const info = checkpoint.tensors.get(name);
    if (!info) return undefined;
    if (info.shape.length !== 1 || info.shape[0] !== classes) {
      throw new WisemergeError(
        'ERR_SHAPE_MISMATCH',
        `${name} is ${formatShape(info.shape)}; ${weight} has ${classes} classes`,
        { tensor: name, file: info.file },
      );
    }
    const values = toFloats(await checkpoint.readTensor(name), info.dtype, name);
    refuseNonFinite(asBytes(values), 'F32', info);
    return values;
  };
  const [zeroshot, finetuned] = [await read(a), await read(b)];
  if (!zeroshot && !finetuned) return undefined;
  // A zero-shot head is built without a bias; fine-tuning may have added one. Absent is 0.
  return {
    zeroshot: zeroshot ?? new Float32Array(classes),
    finetuned: finetuned ?? new Float32Array(classes),
  };
}
