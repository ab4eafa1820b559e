import { WisemergeError } from '../../errors.js';
import { codeAbove, codesOf, type FloatDType, floatFormats } from './float-codes.js';

/** Where a chunk of features comes from, for messages. */
export interface FeatureChunk {
  readonly name: string;
  readonly file: string;
  /** The row of its first element. */
  readonly first: number;
  readonly dimension: number;
}

/** What features may be, for the sake of the head they go through. */
export interface FeatureBound {
  /** Magnitudes above it could make logits exceed float32. */
  readonly limit: number;
  /** The head's weight. */
  readonly tensor: string;
}

/**
 * Checks that no element of `count` rows [count, dimension] is NaN or infinite, or beyond `bound`, by its bits alone.
 * Throws ERR_DATA or ERR_EVALUATION naming row and column of the first.
 */
export function checkFinite(
  bytes: Uint8Array,
  dtype: FloatDType,
  chunk: FeatureChunk,
  bound?: FeatureBound,
): void {
  const { infinity, magnitude, value } = floatFormats[dtype];
  const first = bound ? codeAbove(bound.limit, dtype) : infinity;
  const codes = codesOf(bytes, dtype);
  const at =
    codes instanceof Uint32Array
      ? firstFrom32(codes, first, magnitude)
      : firstFrom16(codes, first, magnitude);
  if (at >= 0) throw refusal(chunk, at, value(codes[at]!), bound);
}

/**
 * Rounds float64 elements to float32, to nearest even. Throws ERR_DATA naming row and column of the first that
 * is NaN, infinite or beyond float32, ERR_EVALUATION that of one beyond `bound`. `from` is aligned to 8 bytes.
 */
export function narrowToF32(
  from: Uint8Array,
  into: Uint8Array,
  chunk: FeatureChunk,
  bound?: FeatureBound,
): void {
  const limit = bound?.limit ?? Number.MAX_VALUE;
  const wide = new Float64Array(from.buffer, from.byteOffset, from.byteLength / 8);
  const aligned = into.byteOffset % 4 === 0;
  const narrow = aligned
    ? new Float32Array(into.buffer, into.byteOffset, wide.length)
    : new Float32Array(wide.length);
  for (let i = 0; i < wide.length; i++) {
    narrow[i] = wide[i]!;
    // Not `>`: NaN is beyond any limit.
    if (!(Math.abs(narrow[i]!) <= limit)) throw refusal(chunk, i, wide[i]!, bound);
  }
  if (!aligned) into.set(new Uint8Array(narrow.buffer));
}

// One loop for each width: what a loop reads has one type, or it is several times slower.
function firstFrom32(codes: Uint32Array, from: number, magnitude: number): number {
  for (let i = 0; i < codes.length; i++) if ((codes[i]! & magnitude) >= from) return i;
  return -1;
}

function firstFrom16(codes: Uint16Array, from: number, magnitude: number): number {
  for (let i = 0; i < codes.length; i++) if ((codes[i]! & magnitude) >= from) return i;
  return -1;
}

function refusal(
  { name, file, first, dimension }: FeatureChunk,
  index: number,
  value: number,
  bound: FeatureBound | undefined,
): WisemergeError {
  const row = first + Math.floor(index / dimension);
  const column = index % dimension;
  if (bound && Number.isFinite(Math.fround(value))) {
    return new WisemergeError(
      'ERR_EVALUATION',
      `${name} row ${row}, column ${column}: with the feature ${value} logits of ${bound.tensor} can leave the range of float32`,
      {
        file,
        tensor: bound.tensor,
        hint: 'Check head and features: no working classifier has weights, biases or features this large.',
        details: { row, column },
      },
    );
  }
  const what = Number.isFinite(value) ? `${value}, beyond the range of float32` : `${value}`;
  return new WisemergeError('ERR_DATA', `${name} row ${row}, column ${column}: the feature is ${what}`, {
    file,
    hint: 'Compute the features again, in float32, or leave the row out of features and labels.',
    details: { row, column },
  });
}
