import type { FeatureSet } from '../../lib/eval/head-session.js';
import type { HeadDType, HeadPair } from '../../lib/eval/linear-head.js';

/** Deterministic numbers in (-1, 1), normal enough. */
export function noise(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    let sum = 0;
    for (let i = 0; i < 3; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      sum += state / 2 ** 32;
    }
    return (2 * sum) / 3 - 1;
  };
}

export function bf16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (b) => (b + 0x7fff + ((b >>> 16) & 1)) >>> 16);
}

export function fromBf16(codes: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(codes, (code) => code << 16).buffer);
}

export interface HeadCase {
  readonly head: HeadPair;
  readonly set: FeatureSet & { readonly features: Float32Array };
  readonly weights: readonly [Float32Array, Float32Array];
}

/** A head pair and a set that it classifies better than chance; its stored numbers are those it computes with. */
export function headCase(
  samples: number,
  classes: number,
  dimension: number,
  options: { dtype?: HeadDType; biased?: boolean; seed?: number; name?: string } = {},
): HeadCase {
  const { dtype = 'F32', biased = false, seed = 1, name = 'set' } = options;
  const random = noise(seed);
  const store = (values: Float32Array) => (dtype === 'BF16' ? fromBf16(bf16(values)) : values);
  const bytes = (values: Float32Array) => {
    const array = dtype === 'BF16' ? bf16(values) : values;
    return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  };
  const w0 = store(Float32Array.from({ length: classes * dimension }, () => 3 * random()));
  const w1 = store(w0.map((w) => w + 2 * random()));
  const labels = Int32Array.from(
    { length: samples },
    () => Math.floor(((random() + 1) / 2) * classes) % classes,
  );
  const features = store(
    Float32Array.from({ length: samples * dimension }, (_, at) => {
      const label = labels[Math.floor(at / dimension)]!;
      return random() + 0.25 * w1[label * dimension + (at % dimension)]!;
    }),
  );
  const stored = bytes(features);
  const rowBytes = stored.byteLength / samples;
  const bias = () => Float32Array.from({ length: classes }, random);
  return {
    head: {
      classes,
      dimension,
      dtype,
      name: 'weight',
      zeroshot: bytes(w0),
      finetuned: bytes(w1),
      ...(biased && { biases: { zeroshot: bias(), finetuned: bias() } }),
    },
    set: {
      name,
      samples,
      dimension,
      featureDtype: dtype,
      labels,
      features,
      readFeatures: async (first, count, into) => {
        into.set(stored.subarray(first * rowBytes, (first + count) * rowBytes));
      },
    },
    weights: [w0, w1],
  };
}

/** Logits of one sample at one alpha in f64, by the definition: features (W0 + alpha (W1 - W0))^T + b. */
export function logitsAt({ head, set, weights }: HeadCase, sample: number, alpha: number): Float64Array {
  const { classes, dimension, biases } = head;
  const [w0, w1] = weights;
  return Float64Array.from({ length: classes }, (_, c) => {
    let sum = biases ? biases.zeroshot[c]! + alpha * (biases.finetuned[c]! - biases.zeroshot[c]!) : 0;
    for (let d = 0; d < dimension; d++) {
      const at = c * dimension + d;
      sum += set.features[sample * dimension + d]! * (w0[at]! + alpha * (w1[at]! - w0[at]!));
    }
    return sum;
  });
}
