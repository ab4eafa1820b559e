import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Block,
  cutBlocks,
  ioAlignment,
  isElementAligned,
  slotShape,
} from '../../lib/checkpoint/blocks.js';
import type { OutputFile } from '../../lib/checkpoint/layout.js';
import { itemSize, type TensorInfo } from '../../lib/checkpoint/tensor.js';
import type { DTypeName } from '../../lib/native.js';
import { Region } from '../support/regions.js';

interface Spec {
  readonly count: number;
  readonly x: DTypeName;
  /** Undefined: the tensor is copied. */
  readonly y: DTypeName | undefined;
  readonly out: DTypeName;
  /** Decides the place in the fine-tuned model's files. */
  readonly order: number;
}

interface Case {
  readonly file: OutputFile;
  readonly sources: ReadonlyMap<string, { x: TensorInfo; y: TensorInfo | undefined }>;
  readonly block: number;
  readonly ratio: number;
}

/** Tensors one after another from `start` on, spread over two files. */
function place(
  path: string,
  specs: readonly { name: string; dtype: DTypeName; count: number }[],
  start: number,
): Map<string, TensorInfo> {
  const ends = [start, start];
  return new Map(
    specs.map(({ name, dtype, count }, i) => {
      const which = 2 * i < specs.length ? 0 : 1;
      const offset = ends[which]!;
      const bytes = count * itemSize(dtype);
      ends[which] = offset + bytes;
      return [name, { name, dtype, shape: [count], count, file: `${path}${which}`, offset, bytes }];
    }),
  );
}

function makeCase(specs: readonly Spec[], xStart: number, yStart: number, block: number): Case {
  const named = specs.map((spec, i) => ({ ...spec, name: `t${i}` }));
  const x = place(
    'x',
    named.map(({ name, count, x: dtype }) => ({ name, count, dtype })),
    xStart,
  );
  const shuffled = [...named].sort((a, b) => a.order - b.order);
  const y = place(
    'y',
    shuffled.flatMap(({ name, count, y: dtype }) => (dtype ? [{ name, count, dtype }] : [])),
    yStart,
  );
  const header = new Uint8Array(ioAlignment);
  let end = header.length;
  const tensors = named.map(({ name, count, out }) => {
    const offset = end;
    end += count * itemSize(out);
    return { name, dtype: out, shape: [count], offset, bytes: end - offset };
  });
  return {
    file: { name: 'out', header, tensors, bytes: end },
    sources: new Map(named.map(({ name }) => [name, { x: x.get(name)!, y: y.get(name) }])),
    block,
    ratio: named.reduce(
      (max, t) => Math.max(max, itemSize(t.x) / itemSize(t.out), t.y ? itemSize(t.y) / itemSize(t.out) : 1),
      1,
    ),
  };
}

/** Fails unless the blocks produce the file exactly. */
function expectExact({ file, sources, block, ratio }: Case): Block[] {
  const shape = slotShape(block, ratio);
  const done = new Map(file.tensors.map(({ name }) => [name, 0]));
  const blocks: Block[] = [];
  const aligned = isElementAligned(file);
  let position = 0;
  for (const one of cutBlocks(file, (name) => sources.get(name)!, shape)) {
    blocks.push(one);
    expect(one.position).toBe(position);
    expect(one.length).toBeGreaterThan(0);
    expect(one.length).toBeLessThanOrEqual(shape.block);
    position += one.length;
    if (aligned && position < file.bytes) expect(position % ioAlignment).toBe(0);
    const [x, y] = [new Region(one.xReads, shape.x), new Region(one.yReads, shape.y)];
    for (const { tensor, source, count, bytes, xAt, yAt, outAt } of one.segments) {
      const out = file.tensors.find(({ name }) => name === tensor)!;
      const first = done.get(tensor)!;
      expect(Number.isInteger(count)).toBe(true);
      expect(bytes).toBe(count * itemSize(out.dtype));
      expect(one.position + outAt).toBe(out.offset + first * itemSize(out.dtype));
      expect(outAt + bytes).toBeLessThanOrEqual(one.length);
      const [xItem, yItem] = [itemSize(source.x.dtype), source.y && itemSize(source.y.dtype)];
      x.expectHolds(xAt, count * xItem, source.x, first * xItem);
      if (source.y && yItem) y.expectHolds(yAt, count * yItem, source.y, first * yItem);
      done.set(tensor, first + count);
    }
  }
  expect(position).toBe(file.bytes);
  for (const { name, shape: dims } of file.tensors) expect(done.get(name)).toBe(dims[0]);
  return blocks;
}

const floats: DTypeName[] = ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3'];
const count = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 40 }) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 9000 }) },
  // Around the length from which reads are direct.
  { weight: 2, arbitrary: fc.integer({ min: 65_530, max: 65_546 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 400_000 }) },
);
const order = fc.integer({ min: 0, max: 5 });
const lerped = fc.record({
  count,
  x: fc.constantFrom(...floats),
  y: fc.constantFrom(...floats),
  out: fc.constantFrom(...floats),
  order,
});
const copied = fc
  .record({ count, dtype: fc.constantFrom<DTypeName>('U8', 'I64', 'BOOL', 'I32'), order })
  .map(({ dtype, ...rest }): Spec => ({ ...rest, x: dtype, y: undefined, out: dtype }));
const start = fc.oneof(fc.constant(4096), fc.integer({ min: 10, max: 9000 }));

describe('the blocks of an output file', () => {
  it('tile it, cover every element once and read exactly what they need, for any layout', () => {
    const specs = fc.array(fc.oneof({ weight: 3, arbitrary: lerped }, { weight: 1, arbitrary: copied }), {
      maxLength: 40,
    });
    const block = fc.constantFrom(256 * 1024, 320 * 1024, 1024 * 1024);
    fc.assert(
      fc.property(specs, start, start, block, (tensors, xStart, yStart, size) => {
        expectExact(makeCase(tensors, xStart, yStart, size));
      }),
      { numRuns: 60 },
    );
  });

  it('tile a file of thousands of scattered one-byte and eight-byte tensors', () => {
    const specs = Array.from({ length: 3000 }, (_, i): Spec => {
      const dtype: DTypeName = i % 2 ? 'F64' : 'F8_E5M2';
      return { count: 1 + (i % 7), x: dtype, y: dtype, out: dtype, order: (i * 7919) % 3000 };
    });
    expectExact(makeCase(specs, 8, 11, 256 * 1024));
  });

  it('join tensors that neighbour each other in the input into one read', () => {
    const specs = Array.from(
      { length: 50 },
      (): Spec => ({ count: 100, x: 'BF16', y: 'BF16', out: 'BF16', order: 0 }),
    );
    const [block, ...rest] = expectExact(makeCase(specs, 4096, 4096, 1024 * 1024));
    expect(rest).toEqual([]);
    // Half of the tensors lie in either of the two files.
    expect(block!.xReads.map(({ length }) => length)).toEqual([5000, 5000]);
  });

  it('shrink where inputs are scattered so far that their alignment would overflow a region', () => {
    // Direct reads of 64 KiB each, every one from an odd place: three pages of slack per read.
    const specs = Array.from(
      { length: 64 },
      (_, i): Spec => ({ count: 65_537, x: 'F8_E4M3', y: 'F8_E4M3', out: 'F8_E4M3', order: (i * 37) % 64 }),
    );
    const blocks = expectExact(makeCase(specs, 4097, 4099, 1024 * 1024));
    expect(blocks.some(({ length }) => length < 1024 * 1024)).toBe(true);
  });

  it('keep their offsets exact in a tensor of 6 GB', () => {
    const big: Spec = { count: 3e9, x: 'BF16', y: 'BF16', out: 'BF16', order: 0 };
    const tail: Spec = { count: 5, x: 'F32', y: 'F32', out: 'F32', order: 1 };
    const blocks = expectExact(makeCase([big, tail], 4096, 100, 8 * 2 ** 20));
    const last = blocks.at(-1)!;
    expect(last.position).toBeGreaterThan(2 ** 32);
    expect(last.segments.at(-1)).toMatchObject({ tensor: 't1', count: 5 });
    expect(last.position + last.length).toBe(4096 + 6e9 + 20);
  });

  it('of a file without tensors are its header', () => {
    const blocks = expectExact(makeCase([], 4096, 4096, 256 * 1024));
    expect(blocks).toEqual([{ position: 0, length: 4096, segments: [], xReads: [], yReads: [] }]);
  });
});
