import { BlockStream } from '../native/block-stream.js';
import { type Engine, HostBuffer } from '../native.js';
import { alignUp, ioAlignment, type Read, type SlotShape, slotBytes } from './blocks.js';
import { nameFile } from './descriptor-error.js';
import type { FileRequest } from './input-file.js';
import type { InputPool } from './input-pool.js';
import type { OutputWriter } from './output-writer.js';

/** Blocks under way at once, a thread each: as many requests as keep a disk busy. More gains nothing. */
export const ringSlots = 4;
/** Blocks handed over at once: JavaScript's part costs as much per batch as several blocks do natively. */
const batchBlocks = 8;
/** Batches under way at once, so that threads have work while the next is being planned. */
const lanes = 3;

/** A range of tensors to compute. `at` are bytes from the start of the region. */
export interface RingSegment {
  /** `DTypeInfo.index` of x, y and, unless they are compared, of the outputs. */
  readonly dtypes: readonly number[];
  readonly count: number;
  readonly xAt: number;
  readonly yAt: number;
  readonly outAt?: number;
  /** Number of its alphas; default: the first ones. */
  readonly alphas?: number;
}

/** A block, with what to compute in it. */
export interface RingBlock {
  readonly xReads: readonly Read[];
  readonly yReads: readonly Read[];
  readonly segments: readonly RingSegment[];
  /** `[from, outAt, bytes]`: bytes of x that every output gets as they are. */
  readonly copies: readonly (readonly [number, number, number])[];
  readonly output: number;
  readonly position: number;
  readonly length: number;
}

/**
 * A ring of slots in native memory and the threads that take blocks through it, so that memory does not depend
 * on the amount of data.
 */
export class BlockRing {
  readonly #arena: HostBuffer;
  readonly #stream: BlockStream;
  readonly #inputs: InputPool;
  readonly #y: number;
  /** Of open outputs, by descriptor. */
  readonly #names = new Map<number, string>();

  private constructor(arena: HostBuffer, stream: BlockStream, inputs: InputPool, y: number) {
    this.#arena = arena;
    this.#stream = stream;
    this.#inputs = inputs;
    this.#y = y;
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
    const each = slotBytes(shape, outputs);
    const arena = new HostBuffer(slots * each);
    try {
      await engine.pin(arena);
      const outs = Array.from(
        { length: outputs },
        (_, k) => shape.x + shape.y + k * alignUp(shape.block, ioAlignment),
      );
      const stream = new BlockStream({
        engine,
        arena,
        slotBytes: each,
        alphas: Float64Array.from(alphas.flat()),
        outs,
      });
      return new BlockRing(arena, stream, inputs, shape.x);
    } catch (error) {
      arena.release();
      throw error;
    }
  }

  /** Files to write, one per output. Gives the number for `RingBlock.output`. */
  addOutput(writers: readonly OutputWriter[], header: Uint8Array): number {
    for (const { fd, path } of writers) this.#names.set(fd, path);
    return this.#stream.addOutput(writers, header);
  }

  /** Ends an output whose blocks are all through; gives the hashes of its files. */
  finishOutput(output: number): string[] {
    return this.#stream.finishOutput(output);
  }

  /**
   * Hands blocks over; `done` gives what native `run` does for them. Blocks of one output must be handed over in
   * file order. Their inputs stay open until they are through.
   */
  async submit(
    blocks: readonly RingBlock[],
    signal?: AbortSignal,
  ): Promise<{ readonly done: Promise<Float64Array> }> {
    const { files, release } = await this.#inputs.acquire(
      blocks.flatMap(({ xReads, yReads }) => [...xReads, ...yReads].map(({ file }) => file)),
    );
    const names = new Map<number, string>();
    const request = (read: Read, region: number): FileRequest => {
      const file = files.get(read.file)!;
      const made = file.request(read, region);
      names.set(made.fd, file.path);
      return made;
    };
    const numbers: number[] = [];
    for (const block of blocks) encode(block, this.#y, request, numbers);
    const run = async (): Promise<Float64Array> => {
      try {
        return await this.#stream.run(Float64Array.from(numbers), signal);
      } catch (error) {
        throw nameFile(error, (fd) => names.get(fd) ?? this.#names.get(fd));
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

function encode(
  { xReads, yReads, segments, copies, output, position, length }: RingBlock,
  y: number,
  request: (read: Read, region: number) => FileRequest,
  numbers: number[],
): void {
  numbers.push(xReads.length + yReads.length, copies.length, segments.length, output, position, length);
  const add = (read: Read, region: number): void => {
    const made = request(read, region);
    numbers.push(made.fd, made.position, made.length, made.wanted, made.at);
  };
  for (const read of xReads) add(read, 0);
  for (const read of yReads) add(read, y);
  for (const copy of copies) numbers.push(...copy);
  for (const { dtypes, count, xAt, yAt, outAt, alphas = 0 } of segments) {
    numbers.push(...dtypes, count, xAt, y + yAt);
    if (outAt !== undefined) numbers.push(outAt, alphas);
  }
}

/**
 * Gathers blocks into batches, hands them over in order with `submit`, and keeps a few under way at once. The
 * first failure (or an abort) stops new batches, waits for those under way, and is thrown.
 */
export async function runBatches<Item>(
  items: Iterator<Item>,
  together: (first: Item, next: Item) => boolean,
  submit: (batch: readonly Item[]) => Promise<{ readonly done: Promise<unknown> }>,
  signal?: AbortSignal,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  const underWay = new Set<Promise<void>>();
  let next = items.next();
  try {
    while (!next.done && !failure) {
      signal?.throwIfAborted();
      const batch = [next.value];
      next = items.next();
      while (!next.done && batch.length < batchBlocks && together(batch[0]!, next.value)) {
        batch.push(next.value);
        next = items.next();
      }
      const { done } = await submit(batch);
      const settled = done.then(
        () => void underWay.delete(settled),
        (error: unknown) => {
          underWay.delete(settled);
          failure ??= { error };
        },
      );
      underWay.add(settled);
      if (underWay.size >= lanes) await Promise.race(underWay);
    }
  } catch (error) {
    failure ??= { error };
  }
  await Promise.all(underWay);
  if (failure) throw failure.error;
}
