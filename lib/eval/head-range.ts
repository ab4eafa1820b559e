import type { TensorInfo } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { codesOf, type FloatDType, floatFormats } from './data/float-codes.js';
import type { HeadPair } from './linear-head.js';

const largestFloat = (2 - 2 ** -23) * 2 ** 127;

/** Throws ERR_DATA for a tensor of a head with elements that are no numbers: no prediction would be right or wrong. */
export function refuseNonFinite(bytes: Uint8Array, dtype: FloatDType, { name, file }: TensorInfo): void {
  const { nonFinite } = rangeOf(bytes, dtype);
  if (nonFinite === 0) return;
  throw new WisemergeError('ERR_DATA', `${name} has ${nonFinite} elements that are NaN or infinite`, {
    tensor: name,
    file,
    hint: 'They would spread to every prediction: repair the checkpoint first.',
  });
}

/**
 * The magnitude up to which features cannot make a logit exceed float32, at any of the alphas and whatever the order of its
 * sum. Below 0 where a bias does by itself.
 */
export function featureLimit(head: HeadPair, alphas: readonly number[]): number {
  const { dimension, dtype, zeroshot, finetuned, biases } = head;
  const largest = (parts: readonly Uint8Array[], of: FloatDType): number =>
    Math.max(...parts.map((part) => rangeOf(part, of).largest));
  const weight = largest([zeroshot, finetuned], dtype);
  const bias = biases ? largest([asBytes(biases.zeroshot), asBytes(biases.finetuned)], 'F32') : 0;
  // Logits are z0 + alpha (z1 - z0), and both ends are computed whatever the alphas.
  const spread = 1 + 2 * Math.max(1, ...alphas.map(Math.abs));
  return (largestFloat / spread - bias) / (dimension * weight);
}

function rangeOf(
  bytes: Uint8Array,
  dtype: FloatDType,
): { readonly largest: number; readonly nonFinite: number } {
  const codes = codesOf(bytes, dtype);
  const { magnitude, infinity, value } = floatFormats[dtype];
  let [most, nonFinite] = [0, 0];
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]! & magnitude;
    if (code >= infinity) nonFinite++;
    else if (code > most) most = code;
  }
  return { largest: value(most), nonFinite };
}

export function asBytes(array: Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
