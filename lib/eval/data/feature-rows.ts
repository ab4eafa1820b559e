import { bf16ToNumber, f16ToNumber } from '../../checkpoint/half.js';
import { WisemergeError } from '../../errors.js';

/** Dtypes of features as they are given to an evaluator. */
export type FeatureDType = 'F32' | 'F16' | 'BF16';

/** Where a chunk of features comes from, for messages. */
export interface FeatureChunk {
  readonly name: string;
  readonly file: string;
  /** The row of its first element. */
  readonly first: number;
  readonly dimension: number;
}

/**
 * Checks that no element of `count` rows [count, dimension] is NaN or infinite, by its exponent bits alone.
 * Throws ERR_DATA naming row and column of the first.
 */
export function checkFinite(bytes: Uint8Array, dtype: FeatureDType, chunk: FeatureChunk): void {
  const at = dtype === 'F32' ? firstNonFinite32(bytes) : firstNonFinite16(bytes, dtype);
  if (at >= 0) throw refusal(chunk, at, elementValue(bytes, at, dtype));
}

/**
 * Rounds float64 elements to float32, to nearest even. Throws ERR_DATA naming row and column of the first that
 * is NaN, infinite or beyond float32. `from` is aligned to 8 bytes.
 */
export function narrowToF32(from: Uint8Array, into: Uint8Array, chunk: FeatureChunk): void {
  const wide = new Float64Array(from.buffer, from.byteOffset, from.byteLength / 8);
  const aligned = into.byteOffset % 4 === 0;
  const narrow = aligned
    ? new Float32Array(into.buffer, into.byteOffset, wide.length)
    : new Float32Array(wide.length);
  for (let i = 0; i < wide.length; i++) {
    narrow[i] = wide[i]!;
    if (!Number.isFinite(narrow[i])) throw refusal(chunk, i, wide[i]!);
  }
  if (!aligned) into.set(new Uint8Array(narrow.buffer));
}

function firstNonFinite32(bytes: Uint8Array): number {
  const words = aligned(bytes, 4);
  const codes = new Uint32Array(words.buffer, words.byteOffset, words.byteLength / 4);
  for (let i = 0; i < codes.length; i++) if ((codes[i]! & 0x7f800000) === 0x7f800000) return i;
  return -1;
}

function firstNonFinite16(bytes: Uint8Array, dtype: 'F16' | 'BF16'): number {
  const exponent = dtype === 'F16' ? 0x7c00 : 0x7f80;
  const words = aligned(bytes, 2);
  const codes = new Uint16Array(words.buffer, words.byteOffset, words.byteLength / 2);
  for (let i = 0; i < codes.length; i++) if ((codes[i]! & exponent) === exponent) return i;
  return -1;
}

/** The same bytes where a typed array can view them. */
function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}

function elementValue(bytes: Uint8Array, index: number, dtype: FeatureDType): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === 'F32') return view.getFloat32(4 * index, true);
  const code = view.getUint16(2 * index, true);
  return dtype === 'F16' ? f16ToNumber(code) : bf16ToNumber(code);
}

function refusal(
  { name, file, first, dimension }: FeatureChunk,
  index: number,
  value: number,
): WisemergeError {
  const row = first + Math.floor(index / dimension);
  const column = index % dimension;
  const what = Number.isFinite(value) ? `${value}, beyond the range of float32` : `${value}`;
  return new WisemergeError('ERR_DATA', `${name} row ${row}, column ${column}: the feature is ${what}`, {
    file,
    hint: 'Compute the features again, in float32, or leave the row out of features and labels.',
    details: { row, column },
  });
}
