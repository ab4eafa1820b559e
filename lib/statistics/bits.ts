import { WisemergeError } from '../errors.js';

/**
 * A matrix of bits, one row per alpha and one column per sample: `correct[alpha][sample]`. Column c of a row is
 * bit c % 32 of word floor(c / 32); a row has `stride` words, and the bits beyond `columns` in its last word
 * are zero.
 */
export class BitMatrix {
  readonly rows: number;
  readonly columns: number;
  /** Words per row. */
  readonly stride: number;
  /** `rows * stride` words. */
  readonly words: Uint32Array;

  /** A matrix of zeros, or a view of `words`. Throws ERR_INTERNAL_ARGUMENT where the sizes disagree. */
  constructor(rows: number, columns: number, words?: Uint32Array) {
    const stride = Math.ceil(columns / 32);
    if (words && words.length !== rows * stride)
      throw new WisemergeError(
        'ERR_INTERNAL_ARGUMENT',
        `${words.length} words for ${rows} rows of ${columns} bits`,
      );
    this.rows = rows;
    this.columns = columns;
    this.stride = stride;
    this.words = words ?? new Uint32Array(rows * stride);
  }

  get(row: number, column: number): boolean {
    return ((this.words[this.#wordOf(row, column)]! >>> (column & 31)) & 1) === 1;
  }

  set(row: number, column: number, value: boolean): void {
    const word = this.#wordOf(row, column);
    const bit = 1 << (column & 31);
    this.words[word] = value ? this.words[word]! | bit : this.words[word]! & ~bit;
  }

  /** The words of one row, not copied. */
  row(row: number): Uint32Array {
    return this.words.subarray(row * this.stride, (row + 1) * this.stride);
  }

  /** Bits set in a row. */
  count(row: number): number {
    let total = 0;
    for (const word of this.row(row)) total += bitCount(word);
    return total;
  }

  /** Bits set in both rows. */
  countAnd(first: number, second: number): number {
    const [a, b] = [this.row(first), this.row(second)];
    let total = 0;
    for (let i = 0; i < a.length; i++) total += bitCount(a[i]! & b[i]!);
    return total;
  }

  /** Bits in which two rows differ. */
  countXor(first: number, second: number): number {
    const [a, b] = [this.row(first), this.row(second)];
    let total = 0;
    for (let i = 0; i < a.length; i++) total += bitCount(a[i]! ^ b[i]!);
    return total;
  }

  /** Row by row, ceil(columns / 8) bytes each, column c in bit c % 8 of byte floor(c / 8). */
  toBytes(): Uint8Array {
    const width = Math.ceil(this.columns / 8);
    const bytes = new Uint8Array(this.rows * width);
    for (let row = 0; row < this.rows; row++) {
      const words = this.row(row);
      for (let i = 0; i < width; i++) bytes[row * width + i] = words[i >> 2]! >>> (8 * (i & 3));
    }
    return bytes;
  }

  /** The inverse of `toBytes`. Throws ERR_SWEEP_RESULT where the length is wrong or a padding bit is set. */
  static fromBytes(bytes: Uint8Array, rows: number, columns: number): BitMatrix {
    const width = Math.ceil(columns / 8);
    const damaged = (why: string): WisemergeError =>
      new WisemergeError('ERR_SWEEP_RESULT', `per-sample results of ${rows} x ${columns} bits: ${why}`, {
        hint: 'The file is damaged; run the sweep again.',
      });
    if (bytes.length !== rows * width)
      throw damaged(`${bytes.length} bytes where there should be ${rows * width}`);
    const matrix = new BitMatrix(rows, columns);
    const padding = columns % 8 === 0 ? 0 : (0xff << (columns % 8)) & 0xff;
    for (let row = 0; row < rows; row++) {
      const words = matrix.row(row);
      for (let i = 0; i < width; i++) words[i >> 2]! |= bytes[row * width + i]! << (8 * (i & 3));
      if (width > 0 && bytes[row * width + width - 1]! & padding)
        throw damaged(`row ${row} has bits beyond its end`);
    }
    return matrix;
  }

  #wordOf(row: number, column: number): number {
    if (!(row >= 0 && row < this.rows && column >= 0 && column < this.columns))
      throw new WisemergeError(
        'ERR_INTERNAL_RANGE',
        `bit (${row}, ${column}) of a matrix of ${this.rows} x ${this.columns}`,
      );
    return row * this.stride + (column >>> 5);
  }
}

/** Bits set in a 32-bit word, by sums over pairs, nibbles and bytes in parallel. */
export function bitCount(word: number): number {
  let sums = word - ((word >>> 1) & 0x55555555);
  sums = (sums & 0x33333333) + ((sums >>> 2) & 0x33333333);
  return Math.imul((sums + (sums >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/**
 * Per row, the sum of the multiplicities of its set bits. `counts` has one entry per column; the result goes to
 * `out`, one entry per row. Neighbouring rows agree on most columns, so each row's sum is that of the row before
 * with what changed. Throws ERR_DATA_MISMATCH where a length is wrong.
 */
export function multipleCounts(
  matrix: BitMatrix,
  counts: Uint32Array,
  out: Float64Array = new Float64Array(matrix.rows),
): Float64Array {
  const { rows, columns, stride, words } = matrix;
  if (counts.length !== columns || out.length !== rows)
    throw new WisemergeError('ERR_DATA_MISMATCH', `${counts.length} counts of ${columns} samples`);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < stride; i++) {
      const word = words[row * stride + i]!;
      let changed = row === 0 ? word : word ^ words[(row - 1) * stride + i]!;
      while (changed !== 0) {
        const lowest = changed & -changed;
        const count = counts[32 * i + 31 - Math.clz32(lowest)]!;
        sum += (word & lowest) === 0 ? -count : count;
        changed ^= lowest;
      }
    }
    out[row] = sum;
  }
  return out;
}

/** The different columns of a matrix, and which of them each sample is. */
export interface DistinctColumns {
  readonly matrix: BitMatrix;
  /** Per sample, its column in `matrix`. */
  readonly of: Uint32Array;
}

/**
 * Equal columns taken together, in order of their first sample. Neighbouring alphas agree on most samples, so
 * tens of thousands of samples leave a few hundred columns, and counts cost that much less.
 */
export function distinctColumns(matrix: BitMatrix): DistinctColumns {
  const { rows, columns } = matrix;
  const height = Math.max(1, Math.ceil(rows / 32));
  const transposed = transposedWords(matrix, height);
  // Open addressing at most half full; entries are one more than the index of a distinct column.
  const size = 2 ** Math.ceil(Math.log2(2 * columns + 2));
  const table = new Uint32Array(size);
  const firsts: number[] = [];
  const of = new Uint32Array(columns);
  for (let column = 0; column < columns; column++) {
    const from = column * height;
    let hash = 0;
    for (let i = 0; i < height; i++) {
      hash = Math.imul(hash ^ transposed[from + i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    let slot = hash & (size - 1);
    while (table[slot] !== 0 && !equalColumns(transposed, firsts[table[slot]! - 1]! * height, from, height))
      slot = (slot + 1) & (size - 1);
    if (table[slot] === 0) table[slot] = firsts.push(column);
    of[column] = table[slot]! - 1;
  }
  const distinct = new BitMatrix(rows, firsts.length);
  for (const [index, column] of firsts.entries()) {
    for (let row = 0; row < rows; row++) if (matrix.get(row, column)) distinct.set(row, index, true);
  }
  return { matrix: distinct, of };
}

/** Column by column, `height` words each: bit r % 32 of word floor(r / 32) is row r. */
function transposedWords({ rows, columns, stride, words }: BitMatrix, height: number): Uint32Array {
  const transposed = new Uint32Array(columns * height);
  const square = new Uint32Array(32);
  for (let at = 0; at < height; at++) {
    const used = Math.min(32, rows - 32 * at);
    for (let i = 0; i < stride; i++) {
      square.fill(0);
      for (let row = 0; row < used; row++) square[row] = words[(32 * at + row) * stride + i]!;
      transposeSquare(square);
      const end = Math.min(32, columns - 32 * i);
      for (let c = 0; c < end; c++) transposed[(32 * i + c) * height + at] = square[c]!;
    }
  }
  return transposed;
}

/** Transposes 32 x 32 bits in place, by quarters of quarters (Warren, "Hacker's Delight", 2nd ed., section 7-3). */
function transposeSquare(square: Uint32Array): void {
  let mask = 0x0000ffff;
  for (let half = 16; half > 0; half >>= 1, mask ^= mask << half) {
    for (let i = 0; i < 32; i = (i + half + 1) & ~half) {
      const swapped = ((square[i]! >>> half) ^ square[i + half]!) & mask;
      square[i]! ^= swapped << half;
      square[i + half]! ^= swapped;
    }
  }
}

function equalColumns(transposed: Uint32Array, first: number, second: number, height: number): boolean {
  for (let i = 0; i < height; i++) if (transposed[first + i] !== transposed[second + i]) return false;
  return true;
}
