import type { OutputFile } from './layout.js';
import { itemSize, type TensorInfo } from './tensor.js';

/** Direct I/O wants file offsets, lengths and addresses at multiples of this. */
export const ioAlignment = 4096;
/** Shorter reads go through the page cache: aligning them would cost more than it saves. */
export const minDirectRead = 64 * 1024;

/** Where one output tensor's data comes from: two inputs to combine, or one to copy. */
export interface Source {
  readonly x: TensorInfo;
  /** Undefined: the bytes of `x` are copied. */
  readonly y: TensorInfo | undefined;
}

/** One contiguous read of an input file into a slot's region. */
export interface Read {
  readonly file: string;
  readonly position: number;
  readonly length: number;
  /** Where the bytes go, relative to the region. `direct` reads widen both sides to `ioAlignment`. */
  readonly at: number;
  readonly direct: boolean;
}

/** A run of elements of one output tensor inside a block. Offsets are relative to their regions. */
export interface BlockSegment {
  readonly tensor: string;
  readonly source: Source;
  readonly count: number;
  /** Bytes of output. */
  readonly bytes: number;
  readonly xAt: number;
  readonly yAt: number;
  readonly outAt: number;
}

/** A contiguous range of an output file, and all it takes to produce it. */
export interface Block {
  readonly position: number;
  readonly length: number;
  readonly segments: readonly BlockSegment[];
  readonly xReads: readonly Read[];
  readonly yReads: readonly Read[];
}

/** Sizes in bytes of a slot's regions, for blocks of up to `block` bytes of output: x, y, then the outputs. */
export interface SlotShape {
  readonly block: number;
  readonly x: number;
  readonly y: number;
}

/** Bytes of memory a slot takes. */
export function slotBytes(shape: SlotShape, outputs: number): number {
  return shape.x + shape.y + outputs * alignUp(shape.block, ioAlignment);
}

/**
 * Region sizes for a block size. `inputRatio` is the largest input-to-output item size ratio of any tensor (2
 * for F32 to BF16). The extra eighth holds the alignment slack of direct reads, which are at least
 * `minDirectRead`.
 */
export function slotShape(block: number, inputRatio: number): SlotShape {
  const region = alignUp(block * inputRatio * 1.125 + 2 * ioAlignment, ioAlignment);
  return { block, x: region, y: region };
}

/** True if every tensor starts at a multiple of its item size, so that a cut at `ioAlignment` never splits an
 * element. Files of odd layouts are cut at elements instead and written through the page cache. */
export function isElementAligned(file: OutputFile): boolean {
  return file.tensors.every((tensor) => tensor.offset % itemSize(tensor.dtype) === 0);
}

/**
 * Cuts an output file into blocks in file order, with the reads each needs. Neighbouring tensors that also
 * neighbour each other in the input are read at once. A block is `shape.block` bytes unless its inputs would
 * not fit their regions (many scattered small tensors), which halves it.
 */
export function* cutBlocks(
  file: OutputFile,
  source: (tensor: string) => Source,
  shape: SlotShape,
): Generator<Block> {
  const aligned = isElementAligned(file);
  let first = 0;
  for (let position = 0; position < file.bytes; ) {
    while (first < file.tensors.length && end(file, first) <= position) first++;
    let block: Block | undefined;
    for (let size = shape.block; !block; size = alignUp(size / 2, ioAlignment)) {
      const limit = Math.min(position + size, file.bytes);
      block = buildBlock(
        file,
        source,
        first,
        position,
        aligned ? limit : elementCut(file, first, limit),
        shape,
      );
    }
    yield block;
    position += block.length;
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

function buildBlock(
  file: OutputFile,
  source: (tensor: string) => Source,
  first: number,
  position: number,
  limit: number,
  shape: SlotShape,
): Block | undefined {
  const x = new RegionPacker();
  const y = new RegionPacker();
  const pieces: {
    tensor: string;
    source: Source;
    count: number;
    bytes: number;
    outAt: number;
    x: Placed;
    y: Placed;
  }[] = [];
  for (let i = first; i < file.tensors.length; i++) {
    const tensor = file.tensors[i]!;
    if (tensor.offset >= limit) break;
    const from = Math.max(position, tensor.offset);
    const bytes = Math.min(limit, end(file, i)) - from;
    if (bytes <= 0) continue;
    const item = itemSize(tensor.dtype);
    const skip = (from - tensor.offset) / item;
    const count = bytes / item;
    const origin = source(tensor.name);
    const xPlaced = x.add(origin.x, skip, count);
    const yPlaced = origin.y ? y.add(origin.y, skip, count) : xPlaced;
    pieces.push({
      tensor: tensor.name,
      source: origin,
      count,
      bytes,
      outAt: from - position,
      x: xPlaced,
      y: yPlaced,
    });
  }
  const xReads = x.finish();
  const yReads = y.finish();
  if (x.used > shape.x || y.used > shape.y) return undefined;
  const segments = pieces.map(({ x: xPlaced, y: yPlaced, ...piece }) => ({
    ...piece,
    xAt: xPlaced.run.at + xPlaced.delta,
    yAt: yPlaced.run.at + yPlaced.delta,
  }));
  return { position, length: limit - position, segments, xReads, yReads };
}

interface Run {
  file: string;
  position: number;
  length: number;
  item: number;
  at: number;
}

/** Where a range will lie once the region is packed: `run.at + delta`. */
export interface Placed {
  readonly run: { readonly at: number };
  readonly delta: number;
}

/** Gathers the input ranges of one region, joins neighbours, and gives each its place. */
export class RegionPacker {
  readonly #runs: Run[] = [];
  /** Bytes of the region in use, after `finish`. */
  used = 0;

  /** `count` elements of `tensor`, `skip` elements from its start. */
  add(tensor: TensorInfo, skip: number, count: number): Placed {
    const item = itemSize(tensor.dtype);
    const position = tensor.offset + skip * item;
    const length = count * item;
    const last = this.#runs.at(-1);
    if (last && last.file === tensor.file && last.position + last.length === position) {
      const delta = last.length;
      last.length += length;
      last.item = Math.max(last.item, item);
      return { run: last, delta };
    }
    const run = { file: tensor.file, position, length, item, at: 0 };
    this.#runs.push(run);
    return { run, delta: 0 };
  }

  /** Places every range and returns the reads that fill the region. */
  finish(): Read[] {
    return this.#runs.map((run) => {
      const direct = run.length >= minDirectRead;
      // A direct read starts at the aligned position below; its data keeps the distance in memory.
      const slack = direct ? run.position % ioAlignment : 0;
      const start = alignUp(this.used, direct ? ioAlignment : run.item);
      run.at = start + slack;
      this.used = direct ? alignUp(run.at + run.length, ioAlignment) : run.at + run.length;
      return { file: run.file, position: run.position, length: run.length, at: run.at, direct };
    });
  }
}

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
