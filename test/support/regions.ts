import { expect } from 'vitest';
import { ioAlignment, minDirectRead, type Read } from '../../lib/checkpoint/blocks.js';
import type { TensorInfo } from '../../lib/checkpoint/tensor.js';

/** What a planned set of reads does to one region of memory: which file bytes end up where. */
export class Region {
  readonly #reads: readonly Read[];

  /** Fails unless every read, widened as direct I/O widens it, keeps inside `size` and off the others. */
  constructor(reads: readonly Read[], size: number) {
    this.#reads = reads;
    const touched = reads.map(({ position, length, at, direct }) => {
      expect(length).toBeGreaterThanOrEqual(0);
      if (!direct) return [at, at + length] as const;
      expect(length).toBeGreaterThanOrEqual(minDirectRead);
      const before = position % ioAlignment;
      expect((at - before) % ioAlignment).toBe(0);
      return [at - before, at - before + Math.ceil((before + length) / ioAlignment) * ioAlignment] as const;
    });
    touched.sort(([a], [b]) => a - b);
    let end = 0;
    for (const [from, to] of touched) {
      expect(from).toBeGreaterThanOrEqual(end);
      end = to;
    }
    expect(end).toBeLessThanOrEqual(size);
  }

  /** Fails unless `length` bytes at `at` hold the tensor's bytes from `skip` on. */
  expectHolds(at: number, length: number, tensor: TensorInfo, skip: number): void {
    const position = tensor.offset + skip;
    const read = this.#reads.find(
      (one) =>
        one.file === tensor.file &&
        one.position <= position &&
        position + length <= one.position + one.length &&
        one.at + position - one.position === at,
    );
    expect(read, `${length} bytes of ${tensor.name} from ${skip}, at ${at}`).toBeDefined();
  }
}
