import { setImmediate } from 'node:timers/promises';
import { xxh3 } from '@node-rs/xxhash';
import type { EvaluationSet, SetKind, SetRole } from '../eval/data/evaluation-set.js';
import { hexDigest } from '../hex-digest.js';
import { Random } from '../statistics/random.js';
import type { TrainingSet } from '../train/options.js';
import type { Distribution } from './distributions.js';
import type { Glyph } from './glyphs.js';
import { drawPicture, pixels } from './renderer.js';

/** Pictures and their classes. */
export interface Pictures {
  /** [samples, pixels]. */
  readonly features: Float32Array;
  /** [samples]. */
  readonly labels: Int32Array;
}

/** Drawn between two looks at the event loop, in some 20 ms. */
const picturesAtOnce = 512;

/** Pictures of one set lie this far apart among the streams of a seed. */
const streamsPerSet = 2 ** 32;

export interface DrawOptions {
  readonly seed: number;
  /** Number of the set among those of the seed. */
  readonly set: number;
  /** Default 0. */
  readonly labelNoise?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Draws pictures of classes drawn evenly. Picture i depends on the seed, the set's number and i alone. A share of
 * `labelNoise` of the labels is replaced by any class. Rejects with the signal's reason.
 */
export async function drawPictures(
  glyphs: readonly Glyph[],
  distribution: Distribution,
  samples: number,
  { seed, set, labelNoise = 0, signal }: DrawOptions,
): Promise<Pictures> {
  const features = new Float32Array(samples * pixels);
  const labels = new Int32Array(samples);
  for (let i = 0; i < samples; i++) {
    if (i % picturesAtOnce === 0) {
      await setImmediate();
      signal?.throwIfAborted();
    }
    const random = new Random(seed, set * streamsPerSet + i);
    const label = random.below(glyphs.length);
    drawPicture(glyphs[label]!, distribution, random, features.subarray(i * pixels, (i + 1) * pixels));
    labels[i] = random.uniform() < labelNoise ? random.below(glyphs.length) : label;
  }
  return { features, labels };
}

/** Random halves. */
export function splitInHalf({ features, labels }: Pictures, seed: number, set: number): [Pictures, Pictures] {
  const samples = labels.length;
  const order = Uint32Array.from({ length: samples }, (_, i) => i);
  new Random(seed, (set + 1) * streamsPerSet - 1).shuffle(order);
  const take = (rows: Uint32Array): Pictures => {
    const taken = { features: new Float32Array(rows.length * pixels), labels: new Int32Array(rows.length) };
    for (const [to, from] of rows.entries()) {
      taken.features.set(features.subarray(from * pixels, (from + 1) * pixels), to * pixels);
      taken.labels[to] = labels[from]!;
    }
    return taken;
  };
  const middle = Math.floor(samples / 2);
  return [take(order.subarray(0, middle)), take(order.subarray(middle))];
}

export interface SetOptions {
  /** Each picture comes this often: epochs end in files, and longer epochs are fewer. Default 1. */
  readonly copies?: number;
  /** Of a picture, for networks that take pictures. Default: rows of features. */
  readonly shape?: readonly number[];
}

/** Pictures to train on. */
export function trainingSet(
  { features, labels }: Pictures,
  { copies = 1, shape }: SetOptions = {},
): TrainingSet {
  const samples = labels.length;
  const bytes = bytesOf(features);
  const rowBytes = 4 * pixels;
  return {
    samples: samples * copies,
    dimension: pixels,
    ...(shape && { shape }),
    featureDtype: 'F32',
    labels: Int32Array.from({ length: samples * copies }, (_, i) => labels[i % samples]!),
    readFeatures: async (first, count, into) => {
      for (let done = 0; done < count; ) {
        const from = (first + done) % samples;
        const rows = Math.min(count - done, samples - from);
        into.set(bytes.subarray(from * rowBytes, (from + rows) * rowBytes), done * rowBytes);
        done += rows;
      }
    },
  };
}

/** Pictures to evaluate on, in memory. */
export function evaluationSet(
  name: string,
  role: SetRole,
  kind: SetKind,
  pictures: Pictures,
  options: Pick<SetOptions, 'shape'> = {},
): EvaluationSet {
  const { features, labels } = pictures;
  const { name: _name, ...set } = trainingSet(pictures, options);
  const hash = xxh3.Xxh3.withSeed().update(bytesOf(features)).update(bytesOf(labels));
  const fingerprint = hexDigest(hash);
  const close = async () => {};
  return { ...set, name, role, kind, fingerprint, close };
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
