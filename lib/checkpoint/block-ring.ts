import { BlockStream } from '../native/block-stream.js';
import { type Engine, HostBuffer } from '../native.js';
import { alignUp, ioAlignment } from './alignment.js';
import { nameFile } from './descriptor-error.js';
import type { InputPool } from './input-pool.js';
import type { OutputWriter } from './output-writer.js';
import { type SlotShape, slotBytes } from './slot-shape.js';
import { itemSize, type TensorInfo } from './tensor.js';

/** Blocks under way at once: as many as keep a disk busy. More gain nothing, and cost memory. */
export const ringSlots = 4;
/**
 * Bytes handed over at once of `total`, in blocks of `block`. JavaScript's part costs as much per range, which asks for
 * few of them; progress is told after each, which asks for some.
 */
export function rangeBytes(block: number, total: number): number {
  const part = Math.max(alignUp(total / 16, ioAlignment), 32 * block);
  return Math.min(part, 128 * block, 128 * 2 ** 20);
}

/** Bytes of an input from `position` on. */
export interface RingInput {
  readonly file: string;
  readonly position: number;
}

/** The elements of a tensor from `skip` on. */
export function ringInput({ file, offset, dtype }: TensorInfo, skip: number): RingInput {
  return { file, position: offset + skip * itemSize(dtype) };
}

/** A run of elements to compute. */
export interface RingSegment {
  /** `DTypeInfo.index` of x, y and, unless they are compared, of the outputs. */
  readonly dtypes: readonly number[];
  /** Elements, or bytes where x is copied. */
  readonly count: number;
  readonly x: RingInput;
  /** Undefined: every output gets the bytes of x as they are. */
  readonly y: RingInput | undefined;
  /** Bytes from the start of the range. */
  readonly outAt?: number;
  /** Number of its alphas; default: the first ones. */
  readonly alphas?: number;
}

/** A range of an output with what to compute for it, or tensors to compare. */
export interface RingRange {
  readonly segments: readonly RingSegment[];
  /** As `addOutput` gave it. */
  readonly output?: number;
  readonly position?: number;
  readonly length?: number;
}

/**
 * A ring of slots in native memory and the threads that take blocks through it, so that memory does not depend
 * on the amount of data.
 */
export class BlockRing {
  readonly #arena: HostBuffer;
  readonly #stream: BlockStream;
  readonly #inputs: InputPool;
  /** Of files, by descriptor: the failure of one range comes out of all that are under way. */
  readonly #names = new Map<number, string>();

  private constructor(arena: HostBuffer, stream: BlockStream, inputs: InputPool) {
    this.#arena = arena;
    this.#stream = stream;
    this.#inputs = inputs;
  }

  /**
   * Allocates the ring. Segments are interpolated at one of the sets of `alphas`, which are of one length, or compared
   * if there are none.
   */
  static async open(
    engine: Engine,
    inputs: InputPool,
    shape: SlotShape,
    slots: number,
    alphas: readonly (readonly number[])[],
  ): Promise<BlockRing> {
    const outputs = alphas[0]?.length ?? 0;
    const arena = new HostBuffer(slots * slotBytes(shape, outputs));
    try {
      await engine.pin(arena);
      const stream = new BlockStream({
        engine,
        arena,
        shape,
        outputs,
        alphas: Float64Array.from(alphas.flat()),
      });
      return new BlockRing(arena, stream, inputs);
    } catch (error) {
      arena.release();
      throw error;
    }
  }

  /** Files to write, one per output. Gives the number for `RingRange.output`. */
  addOutput(writers: readonly OutputWriter[], header: Uint8Array): number {
    for (const { fd, path } of writers) this.#names.set(fd, path);
    try {
      return this.#stream.addOutput(writers, header);
    } catch (error) {
      throw nameFile(error, (fd) => this.#names.get(fd));
    }
  }

  /** Ends an output whose ranges are all through; gives the hashes of its files. */
  finishOutput(output: number): string[] {
    return this.#stream.finishOutput(output);
  }

  /**
   * Hands a range over; `done` gives what native `run` does for it. Ranges of one output must be handed over in
   * file order. Their inputs stay open until they are through.
   */
  async submit(range: RingRange, signal?: AbortSignal): Promise<{ readonly done: Promise<Float64Array> }> {
    const numbers = new Map<string, number>();
    const rows = encode(range, numbers);
    const { files, release } = await this.#inputs.acquire(numbers.keys());
    const descriptors = [...numbers.keys()].flatMap((path) => {
      const { cached, direct } = files.get(path)!.descriptors;
      for (const fd of [cached, direct]) this.#names.set(fd, path);
      return [cached, direct];
    });
    const run = async (): Promise<Float64Array> => {
      try {
        return await this.#stream.run(Float64Array.from(descriptors), Float64Array.from(rows), signal);
      } catch (error) {
        throw nameFile(error, (fd) => this.#names.get(fd));
      } finally {
        await release();
      }
    };
    return { done: run() };
  }

  /** Frees the memory; everything under way must have ended. */
  close(): void {
    this.#stream.close();
    this.#arena.release();
  }
}

/** The numbers of native/core/stream_work.h; gives the range's files theirs. */
function encode(
  { segments, output = 0, position = 0, length = 0 }: RingRange,
  files: Map<string, number>,
): number[] {
  const rows = [output, position, length];
  const place = (input: RingInput | undefined): void => {
    if (!input) {
      rows.push(-1, 0);
      return;
    }
    let number = files.get(input.file);
    if (number === undefined) {
      number = files.size;
      files.set(input.file, number);
    }
    rows.push(number, input.position);
  };
  for (const { dtypes, count, x, y, outAt, alphas = 0 } of segments) {
    rows.push(...dtypes, count);
    place(x);
    place(y);
    if (outAt !== undefined) rows.push(outAt, alphas);
  }
  return rows;
}
