import { alignUp, ioAlignment } from './alignment.js';

/**
 * Bytes of output per block, of input where tensors are compared (no outputs). A request costs the processor the same
 * whatever its size; bytes cost it less where all slots together stay in its cache, as those of one output can. A GPU
 * wants transfers of many megabytes.
 */
export function blockBytes(backend: 'cpu' | 'cuda', outputs: number): number {
  if (backend === 'cuda') return 8 * 2 ** 20;
  return outputs === 1 ? 2 ** 20 : 2 * 2 ** 20;
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
 * for F32 to BF16). The extra eighth holds what alignment of the reads takes.
 */
export function slotShape(block: number, inputRatio: number): SlotShape {
  const region = alignUp(block * inputRatio * 1.125 + 2 * ioAlignment, ioAlignment);
  return { block, x: region, y: region };
}
