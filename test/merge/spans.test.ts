import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { itemSize, type TensorInfo } from '../../lib/checkpoint/tensor.js';
import { cutSpans, type FloatPair, spanShape } from '../../lib/merge/spans.js';
import { compareSpan, type DTypeName } from '../../lib/native.js';
import { Region } from '../support/regions.js';

type Spec = { count: number; x: DTypeName; y: DTypeName };

function makePairs(specs: readonly Spec[], xStart: number, yStart: number): FloatPair[] {
  let [xEnd, yEnd] = [xStart, yStart];
  return specs.map(({ count, x, y }, i) => {
    const info = (file: string, dtype: DTypeName, offset: number): TensorInfo => ({
      name: `t${i}`,
      dtype,
      shape: [count],
      count,
      file,
      offset,
      bytes: count * itemSize(dtype),
    });
    const pair = { x: info('x', x, xEnd), y: info('y', y, yEnd) };
    xEnd += pair.x.bytes;
    yEnd += pair.y.bytes;
    return pair;
  });
}

/** Fails unless the blocks hold every element of every pair once, in whole spans, inside their regions. */
function expectExact(pairs: readonly FloatPair[], memory: number): void {
  const shape = spanShape(pairs, memory, 5);
  const done = pairs.map(() => 0);
  for (const block of cutSpans(pairs, shape)) {
    const [xRegion, yRegion] = [new Region(block.xReads, shape.x), new Region(block.yReads, shape.y)];
    for (const { pair, firstSpan, count, xAt, yAt } of block.segments) {
      const { x, y } = pairs[pair]!;
      const first = done[pair]!;
      expect(firstSpan * compareSpan).toBe(first);
      if (first + count < x.count) expect(count % compareSpan).toBe(0);
      const [xItem, yItem] = [itemSize(x.dtype), itemSize(y.dtype)];
      xRegion.expectHolds(xAt, count * xItem, x, first * xItem);
      yRegion.expectHolds(yAt, count * yItem, y, first * yItem);
      done[pair] = first + count;
    }
  }
  expect(done).toEqual(pairs.map(({ x }) => x.count));
}

describe('the blocks of a comparison', () => {
  const dtype = fc.constantFrom<DTypeName>('F64', 'F32', 'F16', 'BF16', 'F8_E4M3');
  const count = fc.oneof(
    fc.integer({ min: 0, max: 100 }),
    fc.integer({ min: 0, max: 40_000 }),
    fc.integer({ min: 0, max: 3 * compareSpan }),
  );
  const start = fc.oneof(fc.constant(4096), fc.integer({ min: 10, max: 9000 }));

  it('hold whole spans, cover every element once and fit their regions, for any tensors', () => {
    const specs = fc.array(fc.record({ count, x: dtype, y: dtype }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(specs, start, start, (tensors, xStart, yStart) => {
        expectExact(makePairs(tensors, xStart, yStart), 2 ** 20);
      }),
      { numRuns: 100 },
    );
  });

  it('fit their regions where many small neighbours join into one direct read', () => {
    // Each is below the length of a direct read; together they fill a region to the last bytes.
    for (const bytes of [64, 999, 60_000]) {
      const specs = Array.from(
        { length: Math.ceil(1e6 / bytes) },
        (): Spec => ({ count: bytes, x: 'F8_E4M3', y: 'F8_E4M3' }),
      );
      expectExact(makePairs(specs, 4097, 8191), 2 ** 20);
    }
  });
});
