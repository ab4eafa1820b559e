import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { itemSize, type TensorInfo } from '../../lib/checkpoint/tensor.js';
import { cutSpans, type FloatPair, spanShape } from '../../lib/merge/spans.js';
import { compareSpan, type DTypeName } from '../../lib/native.js';

const dtype = fc.constantFrom<DTypeName>('F64', 'F32', 'F16', 'BF16', 'F8_E4M3');
const count = fc.oneof(
  fc.integer({ min: 0, max: 100 }),
  fc.integer({ min: 0, max: 40_000 }),
  fc.integer({ min: 0, max: 9 * compareSpan }),
);
const pairs = fc.array(
  fc.record({ count, x: dtype, y: dtype }).map(
    ({ count, x, y }): FloatPair => ({
      x: { dtype: x, count } as TensorInfo,
      y: { dtype: y, count } as TensorInfo,
    }),
  ),
  { maxLength: 40 },
);

describe('the ranges of a comparison', () => {
  it('end where they would read many files', () => {
    const info = (file: string) => ({ dtype: 'F32', count: 10, file }) as TensorInfo;
    const many = Array.from({ length: 500 }, (_, i): FloatPair => ({ x: info(`x${i}`), y: info('y') }));
    const ranges = [...cutSpans(many, 2 ** 30)];
    for (const { segments } of ranges) expect(segments.length).toBeLessThan(40);
    expect(ranges.flatMap(({ segments }) => segments.map(({ pair }) => pair))).toEqual(many.map((_, i) => i));
  });

  it('hold whole spans and cover every element once, in order, for any tensors', () => {
    fc.assert(
      fc.property(pairs, fc.constantFrom(2 ** 16, 2 ** 20, 2 ** 23), (all, size) => {
        const done = all.map(() => 0);
        let last = 0;
        for (const { segments, bytes } of cutSpans(all, size)) {
          expect(segments.length).toBeGreaterThan(0);
          let sum = 0;
          for (const { pair, skip, count } of segments) {
            const { x, y } = all[pair]!;
            expect(pair).toBeGreaterThanOrEqual(last);
            expect(skip).toBe(done[pair]);
            expect(count).toBeGreaterThan(0);
            if (skip + count < x.count) expect(count % compareSpan).toBe(0);
            sum += count * (itemSize(x.dtype) + itemSize(y.dtype));
            done[pair] = skip + count;
            last = pair;
          }
          expect(bytes).toBe(sum);
          // One span more than asked for at most.
          expect(bytes).toBeLessThan(size + compareSpan * 16);
        }
        expect(done).toEqual(all.map(({ x }) => x.count));
      }),
    );
  });

  it('fit regions that hold a span of the widest dtype, whatever the memory', () => {
    fc.assert(
      fc.property(pairs, fc.integer({ min: 1, max: 2 ** 28 }), (all, memory) => {
        const { x, y } = spanShape(all, memory, 5, memory % 2 ? 'cpu' : 'cuda');
        expect(x % 4096).toBe(0);
        expect(y).toBe(x);
        for (const pair of all) {
          const widest = Math.max(itemSize(pair.x.dtype), itemSize(pair.y.dtype));
          expect(x).toBeGreaterThanOrEqual(widest * compareSpan + 4 * 4096);
        }
      }),
    );
  });
});
