import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BitMatrix, bitCount, distinctColumns, multipleCounts } from '../../lib/statistics/bits.js';
import { uniforms } from '../support/outcomes.js';

const booleans = fc
  .tuple(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 100 }))
  .chain(([rows, columns]) =>
    fc.array(fc.array(fc.boolean(), { minLength: columns, maxLength: columns }), {
      minLength: rows,
      maxLength: rows,
    }),
  );

function matrixOf(rows: readonly (readonly boolean[])[]): BitMatrix {
  const matrix = new BitMatrix(rows.length, rows[0]!.length);
  for (const [r, row] of rows.entries()) for (const [c, bit] of row.entries()) matrix.set(r, c, bit);
  return matrix;
}

describe('a bit matrix', () => {
  it('holds what was set, and counts it, whatever the number of columns', () => {
    fc.assert(
      fc.property(booleans, (rows) => {
        const matrix = matrixOf(rows);
        for (const [r, row] of rows.entries()) {
          expect(row.map((_, c) => matrix.get(r, c))).toEqual(row);
          expect(matrix.count(r)).toBe(row.filter(Boolean).length);
          const first = rows[0]!;
          expect(matrix.countAnd(0, r)).toBe(row.filter((bit, c) => bit && first[c]).length);
          expect(matrix.countXor(0, r)).toBe(row.filter((bit, c) => bit !== first[c]).length);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('clears a bit and leaves its neighbours', () => {
    const matrix = matrixOf([Array.from({ length: 40 }, () => true)]);
    matrix.set(0, 31, false);
    expect([30, 31, 32].map((c) => matrix.get(0, c))).toEqual([true, false, true]);
    expect(matrix.count(0)).toBe(39);
  });

  it('refuses bits outside it and words of another size', () => {
    const matrix = new BitMatrix(2, 33);
    for (const [row, column] of [
      [0, 33],
      [2, 0],
      [-1, 0],
      [0, -1],
    ] as const)
      expect(() => matrix.get(row, column)).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL_RANGE' }));
    expect(() => new BitMatrix(2, 33, new Uint32Array(3))).toThrow(
      expect.objectContaining({ code: 'ERR_INTERNAL_ARGUMENT' }),
    );
  });

  it('is bytes with the lowest bit first, and back', () => {
    const matrix = matrixOf([
      [true, false, false, false, false, false, false, false, false, true],
      [false, true, true, false, false, false, false, true, false, false],
    ]);
    expect([...matrix.toBytes()]).toEqual([0b1, 0b10, 0b10000110, 0]);
    fc.assert(
      fc.property(booleans, (rows) => {
        const before = matrixOf(rows);
        const after = BitMatrix.fromBytes(before.toBytes(), before.rows, before.columns);
        expect(after.words).toEqual(before.words);
      }),
      { numRuns: 30 },
    );
  });

  it('refuses bytes that are too few, too many, or set beyond the last column', () => {
    const damaged = expect.objectContaining({ code: 'ERR_SWEEP_RESULT' });
    expect(() => BitMatrix.fromBytes(new Uint8Array(3), 2, 10)).toThrow(damaged);
    expect(() => BitMatrix.fromBytes(new Uint8Array(5), 2, 10)).toThrow(damaged);
    expect(() => BitMatrix.fromBytes(Uint8Array.of(0, 0, 0, 4), 2, 10)).toThrow(damaged);
    expect(BitMatrix.fromBytes(Uint8Array.of(0, 0, 0, 2), 2, 10).get(1, 9)).toBe(true);
  });
});

describe('counting', () => {
  it('finds the bits of any word', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (word) => {
        expect(bitCount(word)).toBe(word.toString(2).replaceAll('0', '').length);
        expect(bitCount(word | 0)).toBe(bitCount(word));
      }),
    );
  });

  it('adds the multiplicities of the set bits', () => {
    fc.assert(
      fc.property(booleans, fc.integer({ min: 1, max: 1000 }), (rows, seed) => {
        const uniform = uniforms(seed);
        const columns = rows[0]!.length;
        const counts = Uint32Array.from({ length: columns }, () => 2 ** 32 * uniform());
        const expected = rows.map((row) => row.reduce((sum, bit, c) => (bit ? sum + counts[c]! : sum), 0));
        expect([...multipleCounts(matrixOf(rows), counts)]).toEqual(expected);
      }),
      { numRuns: 50 },
    );
    expect(() => multipleCounts(new BitMatrix(1, 5), new Uint32Array(4))).toThrow(
      expect.objectContaining({ code: 'ERR_DATA_MISMATCH' }),
    );
  });

  it('of distinct columns gives the sums of all columns, and no column occurs twice', () => {
    fc.assert(
      fc.property(booleans, (rows) => {
        const matrix = matrixOf(rows);
        const { matrix: distinct, of } = distinctColumns(matrix);
        const text = (m: BitMatrix, c: number): string =>
          rows.map((_, r) => (m.get(r, c) ? '1' : '0')).join('');
        const texts = Array.from({ length: distinct.columns }, (_, c) => text(distinct, c));
        expect(new Set(texts).size).toBe(distinct.columns);
        for (const [column, index] of of.entries()) expect(texts[index]).toBe(text(matrix, column));
      }),
      { numRuns: 50 },
    );
  });
});
