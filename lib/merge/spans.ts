import { alignUp, ioAlignment } from '../checkpoint/alignment.js';
import { rangeFiles } from '../checkpoint/ranges.js';
import { blockBytes, type SlotShape } from '../checkpoint/slot-shape.js';
import { itemSize, type TensorInfo } from '../checkpoint/tensor.js';
import { compareSpan } from '../native.js';

/** Two tensors of equal shape to compare. */
export interface FloatPair {
  readonly x: TensorInfo;
  readonly y: TensorInfo;
}

/** Whole spans of one pair, or its rest. */
export interface SpanSegment {
  readonly pair: number;
  /** Elements of the pair before them, and in them. */
  readonly skip: number;
  readonly count: number;
}

/** Neighbouring segments to hand over together. */
export interface SpanRange {
  readonly segments: readonly SpanSegment[];
  /** Of both tensors of all pairs. */
  readonly bytes: number;
}

/**
 * Cuts pairs of tensors, in order, into ranges of about `size` bytes and a few files. Tensors are cut at whole spans only, so that the
 * order of summation does not depend on where.
 */
export function* cutSpans(pairs: readonly FloatPair[], size: number): Generator<SpanRange> {
  let segments: SpanSegment[] = [];
  let bytes = 0;
  const files = new Set<string>();
  for (const [pair, { x, y }] of pairs.entries()) {
    const item = itemSize(x.dtype) + itemSize(y.dtype);
    for (let skip = 0; skip < x.count; ) {
      const spans = Math.max(1, Math.floor((size - bytes) / item / compareSpan));
      const count = Math.min(x.count - skip, spans * compareSpan);
      segments.push({ pair, skip, count });
      files.add(x.file).add(y.file);
      bytes += count * item;
      skip += count;
      if (bytes < size && files.size <= rangeFiles) continue;
      yield { segments, bytes };
      [segments, bytes] = [[], 0];
      files.clear();
    }
  }
  if (segments.length > 0) yield { segments, bytes };
}

/** More than what alignment takes of a region that holds neighbours of one file. */
const alignmentSlack = 4 * ioAlignment;
/** Regions for comparing: at least one span of the widest dtype on either side, and its alignment. */
export function spanShape(
  pairs: readonly FloatPair[],
  memory: number,
  slots: number,
  backend: 'cpu' | 'cuda',
): SlotShape {
  const widest = pairs.reduce((max, { x, y }) => Math.max(max, itemSize(x.dtype), itemSize(y.dtype)), 1);
  const most = blockBytes(backend, 0);
  const wanted = Math.min(alignUp(memory / slots / 2, ioAlignment), most + alignmentSlack);
  const region = Math.max(wanted, compareSpan * widest + alignmentSlack);
  return { block: 0, x: region, y: region };
}
