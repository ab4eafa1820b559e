import { type Engine, HostBuffer } from '../native.js';
import { alignUp, ioAlignment, type SlotShape } from './blocks.js';

/**
 * Blocks under way at once. Each reads both inputs at the same time, which keeps Node's four file threads
 * busy; fewer, larger blocks cost less CPU time than more, smaller ones.
 */
export const defaultSlots = 3;

/** One slot's memory: byte offsets of its regions in the arena. */
export interface Slot {
  readonly arena: HostBuffer;
  readonly x: number;
  readonly y: number;
  readonly outs: readonly number[];
}

/** Bytes of memory a slot takes. */
export function slotBytes(shape: SlotShape, outputs: number): number {
  return shape.x + shape.y + outputs * alignUp(shape.block, ioAlignment);
}

/**
 * Runs `work` over a sequence of blocks on a fixed set of slots that share one native arena, so that memory
 * does not depend on the amount of data. Blocks start in sequence order; up to `slots` are under way at once.
 *
 * The first failure (or an abort) stops new blocks, waits for those under way, and is thrown. `onFailure` is
 * called at once, so that work waiting for other blocks can be let go.
 */
export async function runPipeline<Item>(options: {
  readonly items: Iterator<Item>;
  readonly slots: number;
  readonly shape: SlotShape;
  readonly outputs: number;
  /** Its transfers are faster from memory it knows. */
  readonly engine: Engine;
  readonly work: (item: Item, slot: Slot) => Promise<void>;
  readonly onFailure?: () => void;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { items, slots, shape, outputs, engine, work, onFailure, signal } = options;
  const each = slotBytes(shape, outputs);
  const arena = new HostBuffer(slots * each);
  let failure: { error: unknown } | undefined;

  const runSlot = async (index: number): Promise<void> => {
    const x = index * each;
    const y = x + shape.x;
    const outs = Array.from(
      { length: outputs },
      (_, k) => y + shape.y + k * alignUp(shape.block, ioAlignment),
    );
    const slot: Slot = { arena, x, y, outs };
    try {
      while (!failure) {
        signal?.throwIfAborted();
        const next = items.next();
        if (next.done) return;
        await work(next.value, slot);
      }
    } catch (error) {
      if (!failure) {
        failure = { error };
        onFailure?.();
      }
    }
  };
  try {
    await engine.pin(arena);
    await Promise.all(Array.from({ length: slots }, (_, index) => runSlot(index)));
  } finally {
    arena.release();
  }
  if (failure) throw (failure as { error: unknown }).error;
}
