import type { OutputFile } from './layout.js';
import { itemSize } from './tensor.js';

/** Direct I/O wants file offsets, lengths and addresses at multiples of this. */
export const ioAlignment = 4096;

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

/** True if every tensor starts at a multiple of its item size, so that a cut at `ioAlignment` never splits an
 * element. Files of odd layouts are cut at elements instead and written through the page cache. */
export function isElementAligned(file: OutputFile): boolean {
  return file.tensors.every((tensor) => tensor.offset % itemSize(tensor.dtype) === 0);
}
