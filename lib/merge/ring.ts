import { alignUp } from '../checkpoint/alignment.js';
import { ringSlots } from '../checkpoint/block-ring.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { mostlyCached, type ReadMode } from '../checkpoint/input-file.js';
import { blockBytes, type SlotShape, slotBytes, slotShape } from '../checkpoint/slot-shape.js';
import { itemSize } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import type { TensorPair } from './compatibility.js';
import { defaultMemory } from './options.js';

/** The buffers of a merge: `slots` of one shape. */
export interface Ring extends SlotShape {
  readonly slots: number;
  readonly reads: ReadMode;
}

const slots = ringSlots;
const minBlock = 128 * 1024;
const blockStep = 64 * 1024;

/**
 * Chooses the block size for the memory budget. A default budget grows where many alphas need it; a given one
 * that is too small is an error.
 */
export async function chooseRing(
  options: {
    readonly alphas: readonly number[];
    readonly device: string;
    readonly memory?: number;
    readonly readMode?: ReadMode;
  },
  pairs: readonly TensorPair[],
  inputs: readonly Checkpoint[],
): Promise<Ring> {
  const ratio = pairs.reduce(
    (max, { x, y, outDtype }) =>
      Math.max(max, itemSize(x.dtype) / itemSize(outDtype), itemSize(y.dtype) / itemSize(outDtype)),
    1,
  );
  const outputs = options.alphas.length;
  const smallest = slots * slotBytes(slotShape(minBlock, ratio), outputs);
  if (options.memory !== undefined && options.memory < smallest) {
    throw new WisemergeError(
      'ERR_MEMORY',
      `memory of ${options.memory} bytes is too small; this merge needs ${smallest}`,
      { hint: 'Raise memory (--memory), or merge fewer alphas at once.' },
    );
  }
  const files = inputs.flatMap((input) => input.files);
  const reads = options.readMode ?? ((await mostlyCached(files)) ? 'cached' : 'direct');
  const budget = Math.max(options.memory ?? defaultMemory, smallest);
  const wanted = blockBytes(options.device === 'cpu' ? 'cpu' : 'cuda', outputs);
  const most = Math.floor(((minBlock / smallest) * budget) / blockStep) * blockStep;
  const block = alignUp(Math.min(wanted, Math.max(most, minBlock)), blockStep);
  return { ...slotShape(block, ratio), slots, reads };
}
