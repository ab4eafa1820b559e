import { ioAlignment, isElementAligned } from './alignment.js';
import type { OutputFile } from './layout.js';
import { itemSize, type TensorInfo } from './tensor.js';

/** Where one output tensor's data comes from: two inputs to combine, or one to copy. */
export interface Source {
  readonly x: TensorInfo;
  /** Undefined: the bytes of `x` are copied. */
  readonly y: TensorInfo | undefined;
}

/** A run of elements of one output tensor inside a range. */
export interface RangeSegment {
  readonly tensor: string;
  readonly source: Source;
  /** Elements of the tensor before the run, and in it. */
  readonly skip: number;
  readonly count: number;
  /** Bytes from the start of the range. */
  readonly outAt: number;
}

/** A contiguous range of an output file, and what it consists of. */
export interface OutputRange {
  readonly position: number;
  readonly length: number;
  readonly segments: readonly RangeSegment[];
}

/** A range that reads more files than this ends: they are open all at once, and descriptors are few. */
export const rangeFiles = 32;

/** Cuts an output file into ranges of up to `size` bytes (a multiple of `ioAlignment`), in file order. */
export function* cutRanges(
  file: OutputFile,
  source: (tensor: string) => Source,
  size: number,
): Generator<OutputRange> {
  const aligned = isElementAligned(file);
  let first = 0;
  for (let position = 0; position < file.bytes; ) {
    while (first < file.tensors.length && end(file, first) <= position) first++;
    const limit = fileCut(file, source, first, position, Math.min(position + size, file.bytes));
    const to = aligned ? limit : elementCut(file, first, limit);
    const segments: RangeSegment[] = [];
    for (let i = first; i < file.tensors.length && file.tensors[i]!.offset < to; i++) {
      const { name, dtype, offset } = file.tensors[i]!;
      const from = Math.max(position, offset);
      const bytes = Math.min(to, end(file, i)) - from;
      if (bytes <= 0) continue;
      const item = itemSize(dtype);
      segments.push({
        tensor: name,
        source: source(name),
        skip: (from - offset) / item,
        count: bytes / item,
        outAt: from - position,
      });
    }
    yield { position, length: to - position, segments };
    position = to;
  }
}

const end = (file: OutputFile, i: number): number => file.tensors[i]!.offset + file.tensors[i]!.bytes;

/** The largest position up to `limit` that does not split an element. */
function elementCut(file: OutputFile, first: number, limit: number): number {
  for (let i = first; i < file.tensors.length; i++) {
    const tensor = file.tensors[i]!;
    if (tensor.offset >= limit) break;
    if (end(file, i) > limit) return limit - ((limit - tensor.offset) % itemSize(tensor.dtype));
  }
  return limit;
}

/** Where the range reads `rangeFiles` files, or `limit`; whole pages, so that small tensors may add a few more. */
function fileCut(
  file: OutputFile,
  source: (tensor: string) => Source,
  first: number,
  position: number,
  limit: number,
): number {
  const files = new Set<string>();
  for (let i = first; i < file.tensors.length && file.tensors[i]!.offset < limit; i++) {
    const { name, offset } = file.tensors[i]!;
    const { x, y } = source(name);
    files.add(x.file);
    if (y) files.add(y.file);
    const page = Math.floor(offset / ioAlignment) * ioAlignment;
    if (files.size > rangeFiles && page > position) return page;
  }
  return limit;
}
