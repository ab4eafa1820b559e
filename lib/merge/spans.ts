import { alignUp, ioAlignment, type Read, RegionPacker, type SlotShape } from '../checkpoint/blocks.js';
import { itemSize, type TensorInfo } from '../checkpoint/tensor.js';
import { compareSpan } from '../native.js';

// Tensors are cut at whole spans only, so that the order of summation does not depend on the memory budget.
/** Two tensors of equal shape to compare. */
export interface FloatPair {
  readonly x: TensorInfo;
  readonly y: TensorInfo;
}

/** Whole spans of one pair inside a block. */
export interface SpanSegment {
  readonly pair: number;
  readonly firstSpan: number;
  readonly count: number;
  readonly xAt: number;
  readonly yAt: number;
}

/** As much of the pairs as fits one slot. */
export interface SpanBlock {
  readonly segments: readonly SpanSegment[];
  readonly xReads: readonly Read[];
  readonly yReads: readonly Read[];
  readonly bytes: number;
}

/**
 * Cuts pairs of tensors, in order, into blocks of whole spans that fit the regions of `shape`, which must
 * hold a span of the largest dtype.
 */
export function* cutSpans(pairs: readonly FloatPair[], shape: SlotShape): Generator<SpanBlock> {
  let block = new SpanBlockBuilder(shape);
  for (const [pair, { x, y }] of pairs.entries()) {
    for (let first = 0; first < x.count; ) {
      const count = block.roomFor(x, y, first);
      if (count === 0) {
        yield block.build();
        block = new SpanBlockBuilder(shape);
        continue;
      }
      block.add(pair, x, y, first, count);
      first += count;
    }
  }
  if (block.bytes > 0) yield block.build();
}

class SpanBlockBuilder {
  readonly #shape: SlotShape;
  readonly #x = new RegionPacker();
  readonly #y = new RegionPacker();
  readonly #pieces: (Omit<SpanSegment, 'xAt' | 'yAt'> & {
    x: ReturnType<RegionPacker['add']>;
    y: ReturnType<RegionPacker['add']>;
  })[] = [];
  /** Upper bounds of the regions' use. */
  #xBound = 0;
  #yBound = 0;
  bytes = 0;

  constructor(shape: SlotShape) {
    this.#shape = shape;
  }

  /** Elements from `first` on that still fit: whole spans, or the rest of the tensor. */
  roomFor(x: TensorInfo, y: TensorInfo, first: number): number {
    const elements = (tensor: TensorInfo, free: number): number =>
      Math.floor((free - maxSlack) / itemSize(tensor.dtype));
    const room = Math.min(
      elements(x, this.#shape.x - this.#xBound),
      elements(y, this.#shape.y - this.#yBound),
    );
    const rest = x.count - first;
    return rest <= room ? rest : Math.floor(Math.max(room, 0) / compareSpan) * compareSpan;
  }

  add(pair: number, x: TensorInfo, y: TensorInfo, first: number, count: number): void {
    const [xPlaced, yPlaced] = [this.#x.add(x, first, count), this.#y.add(y, first, count)];
    this.#pieces.push({ pair, firstSpan: first / compareSpan, count, x: xPlaced, y: yPlaced });
    const [xBytes, yBytes] = [count * itemSize(x.dtype), count * itemSize(y.dtype)];
    // A range that joins the one before it shares that one's slack; small neighbours join into a direct read.
    this.#xBound += xBytes + (xPlaced.delta > 0 ? 0 : maxSlack);
    this.#yBound += yBytes + (yPlaced.delta > 0 ? 0 : maxSlack);
    this.bytes += xBytes + yBytes;
  }

  build(): SpanBlock {
    const xReads = this.#x.finish();
    const yReads = this.#y.finish();
    const segments = this.#pieces.map(({ x, y, ...piece }) => ({
      ...piece,
      xAt: x.run.at + x.delta,
      yAt: y.run.at + y.delta,
    }));
    return { segments, xReads, yReads, bytes: this.bytes };
  }
}

/** What placing one read can cost besides its bytes: alignment of its start, of its place and of its end. */
const maxSlack = 3 * ioAlignment;

/** Regions for comparing: at least one span of the widest dtype on either side. */
export function spanShape(pairs: readonly FloatPair[], memory: number, slots: number): SlotShape {
  const widest = pairs.reduce((max, { x, y }) => Math.max(max, itemSize(x.dtype), itemSize(y.dtype)), 1);
  const region = Math.max(alignUp(memory / slots / 2, ioAlignment), compareSpan * widest + 4 * ioAlignment);
  return { block: 0, x: region, y: region };
}
