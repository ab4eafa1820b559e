import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ioAlignment, isElementAligned } from '../../lib/checkpoint/alignment.js';
import type { OutputFile } from '../../lib/checkpoint/layout.js';
import { cutRanges, type OutputRange, type Source } from '../../lib/checkpoint/ranges.js';
import { itemSize, type TensorInfo } from '../../lib/checkpoint/tensor.js';
import type { DTypeName } from '../../lib/native.js';

interface Spec {
  readonly count: number;
  readonly dtype: DTypeName;
}

/** An output file of tensors one after another. */
function layOut(specs: readonly Spec[]): OutputFile {
  const header = new Uint8Array(ioAlignment);
  let end = header.length;
  const tensors = specs.map(({ count, dtype }, i) => {
    const offset = end;
    end += count * itemSize(dtype);
    return { name: `t${i}`, dtype, shape: [count], offset, bytes: end - offset };
  });
  return { name: 'out', header, tensors, bytes: end };
}

const sourceOf = (name: string): Source => ({ x: { name } as TensorInfo, y: undefined });

/** Fails unless the ranges tile the file and cover every element once. */
function expectExact(file: OutputFile, size: number): OutputRange[] {
  const done = new Map(file.tensors.map(({ name }) => [name, 0]));
  const ranges = [...cutRanges(file, sourceOf, size)];
  let position = 0;
  for (const range of ranges) {
    expect(range.position).toBe(position);
    expect(range.length).toBeGreaterThan(0);
    expect(range.length).toBeLessThanOrEqual(size);
    position += range.length;
    if (isElementAligned(file) && position < file.bytes) expect(position % ioAlignment).toBe(0);
    for (const { tensor, source, skip, count, outAt } of range.segments) {
      const out = file.tensors.find(({ name }) => name === tensor)!;
      expect(source.x.name).toBe(tensor);
      expect(skip).toBe(done.get(tensor));
      expect(Number.isInteger(count) && count > 0).toBe(true);
      expect(range.position + outAt).toBe(out.offset + skip * itemSize(out.dtype));
      expect(outAt + count * itemSize(out.dtype)).toBeLessThanOrEqual(range.length);
      done.set(tensor, skip + count);
    }
  }
  expect(position).toBe(file.bytes);
  for (const { name, shape } of file.tensors) expect(done.get(name)).toBe(shape[0]);
  return ranges;
}

describe('the ranges of an output file', () => {
  it('tile it and cover every element once, for any layout', () => {
    const dtype = fc.constantFrom<DTypeName>('F64', 'F32', 'BF16', 'F8_E4M3', 'U8', 'BOOL', 'C64');
    const count = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 30_000 }));
    const specs = fc.array(fc.record({ count, dtype }), { maxLength: 40 });
    fc.assert(
      fc.property(specs, fc.constantFrom(4096, 64 * 1024, 2 ** 20), (tensors, size) => {
        expectExact(layOut(tensors), size);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ['whole pages', 'F32', 3000],
    ['elements', 'U8', 5001],
  ] as const)('end at %s where they would read many files', (_, dtype, count) => {
    const file = layOut(Array.from({ length: 300 }, (): Spec => ({ count, dtype })));
    const fileOf = (name: string): Source => ({ x: { name, file: name } as TensorInfo, y: undefined });
    const ranges = [...cutRanges(file, fileOf, 2 ** 30)];
    for (const { segments } of ranges) expect(segments.length).toBeLessThanOrEqual(34);
    expect(ranges.length).toBeLessThan(12);
    expect(ranges.reduce((sum, { length }) => sum + length, 0)).toBe(file.bytes);
    for (const { position } of ranges) expect(position % ioAlignment).toBe(0);
  });

  it('keep their offsets exact in a tensor of 6 GB', () => {
    const ranges = expectExact(
      layOut([
        { count: 3e9, dtype: 'BF16' },
        { count: 5, dtype: 'F32' },
      ]),
      64 * 2 ** 20,
    );
    expect(ranges.at(-1)!.segments.at(-1)).toMatchObject({ tensor: 't1', count: 5 });
  });

  it('of a file without tensors are its header', () => {
    expect(expectExact(layOut([]), 4096)).toEqual([{ position: 0, length: 4096, segments: [] }]);
  });
});
