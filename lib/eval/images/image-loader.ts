import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkCall } from '../../call-options.js';
import { WisemergeError } from '../../errors.js';
import { startPulse } from '../../files/pool-pulse.js';
import { checkOptions } from '../../merge/option-checks.js';
import { onAbort } from '../../on-abort.js';
import type { DecodeFailure } from './decode-messages.js';
import { DecodePool } from './decode-pool.js';
import type { ImageFile, ImageSet } from './image-set.js';
import { count, imageSet, imageTransform, onCorrupt } from './option-checks.js';
import { type ImageTransform, type OutputSize, outputSize } from './transform.js';

export interface ImageLoaderOptions {
  /** Most images per batch. */
  readonly batch: number;
  /** Threads that decode. Default: as many as CPUs, 8 at most. */
  readonly threads?: number;
  /** Images that may be decoded before they are asked for. Default: one batch, at least four per thread. */
  readonly ahead?: number;
  /** What a file that is no image, or a damaged one, does. Default: `error`. */
  readonly onCorrupt?: 'error' | 'skip';
  readonly signal?: AbortSignal;
}

/** Images in the memory that was given. */
export interface ImageBatch {
  /** [n], n > 0: places in the set, ascending. */
  readonly indices: Int32Array;
}

/** An image that was left out. */
export interface CorruptImage {
  readonly index: number;
  readonly name: string;
  readonly reason: string;
}

const checks = {
  set: imageSet,
  transform: imageTransform,
  batch: count,
  threads: count,
  ahead: count,
  onCorrupt,
};

// A third of what the event loop may be held up.
const copyMs = 5;

/**
 * The images of a set in its order, prepared, batch by batch. Threads read, decode and resize ahead of what is asked
 * for, into `ahead` slots of `12 * height * width` bytes; the calling thread copies. What comes out depends neither
 * on the number of threads nor on their timing.
 */
export class ImageLoader implements OutputSize, AsyncDisposable {
  readonly width: number;
  readonly height: number;
  readonly #files: readonly ImageFile[];
  readonly #options: ImageLoaderOptions;
  readonly #pool: DecodePool;
  readonly #slots: Float32Array;
  readonly #ahead: number;
  /** By slot; image i is in slot `i % ahead`. */
  readonly #decoding: Promise<DecodeFailure | undefined>[] = [];
  readonly #corrupt: CorruptImage[] = [];
  #issued = 0;
  #taken = 0;
  #closing: Promise<void> | undefined;

  /** Throws ERR_USAGE naming the option, or the reason of a signal that is aborted already. */
  constructor(set: ImageSet, transform: ImageTransform, options: ImageLoaderOptions) {
    checkCall(options);
    const { signal: _signal, ...given } = options;
    checkOptions({ ...given, set, transform }, checks, ['set', 'transform', 'batch']);
    const { files } = set;
    const { width, height } = outputSize(transform);
    const threads = options.threads ?? Math.min(8, availableParallelism());
    const ahead = options.ahead ?? Math.max(options.batch, 4 * threads);
    this.width = width;
    this.height = height;
    this.#files = files;
    this.#options = options;
    this.#ahead = Math.min(ahead, files.length);
    const slots = new SharedArrayBuffer(this.#ahead * this.#bytes);
    this.#slots = new Float32Array(slots);
    this.#pool = new DecodePool(Math.min(threads, files.length), { transform, slots });
  }

  /** What has been left out so far (`onCorrupt: 'skip'`). */
  get corrupt(): readonly CorruptImage[] {
    return this.#corrupt;
  }

  /**
   * Writes the next images, [n, 3, height, width], to `into`, which has room for a batch (ERR_INTERNAL_RANGE);
   * undefined after the last. One call at a time.
   *
   * Throws ERR_DATA naming the first image that cannot be decoded, ERR_IO, ERR_INPUT_CHANGED, what starting threads
   * throws, and the reason of the signal.
   */
  async next(into: Float32Array): Promise<ImageBatch | undefined> {
    const { batch, signal } = this.#options;
    const elements = this.#bytes / 4;
    if (into.length < batch * elements) {
      throw new WisemergeError(
        'ERR_INTERNAL_RANGE',
        `${batch} images take ${batch * elements} elements, not ${into.length}`,
      );
    }
    using _pulse = startPulse();
    const indices: number[] = [];
    let since = performance.now();
    while (indices.length < batch && this.#taken < this.#files.length) {
      signal?.throwIfAborted();
      this.#issue();
      const index = this.#taken;
      const slot = index % this.#ahead;
      const failure = await orAbort(this.#decoding[slot]!, signal);
      if (failure) this.#leaveOut(index, failure);
      else {
        into.set(this.#slots.subarray(slot * elements, (slot + 1) * elements), indices.length * elements);
        indices.push(index);
      }
      this.#taken++;
      // Decoded images follow one another without a turn of the event loop.
      if (performance.now() - since > copyMs) {
        this.#issue();
        await nextTurn();
        since = performance.now();
      }
    }
    // The threads go on while the batch is used.
    this.#issue();
    return indices.length > 0 ? { indices: Int32Array.from(indices) } : undefined;
  }

  /** Ends the threads, which finish the images they have begun. */
  close(): Promise<void> {
    this.#closing ??= this.#pool.close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #bytes(): number {
    return 4 * 3 * this.width * this.height;
  }

  #issue(): void {
    if (this.#closing) throw new WisemergeError('ERR_INTERNAL', 'the image loader has been closed');
    while (this.#issued < this.#files.length && this.#issued - this.#taken < this.#ahead) {
      const slot = this.#issued % this.#ahead;
      const decoding = this.#pool.decode(this.#files[this.#issued++]!, slot);
      // It is looked at when its turn comes, which after an abort may be never.
      decoding.catch(() => {});
      this.#decoding[slot] = decoding;
    }
  }

  #leaveOut(index: number, { kind, reason }: DecodeFailure): void {
    const { path, name } = this.#files[index]!;
    if (kind === 'io') {
      throw new WisemergeError('ERR_IO', `cannot read ${path}: ${reason}`, {
        file: path,
        hint: 'Check that the file is still there and may be read.',
      });
    }
    if (kind === 'changed') {
      throw new WisemergeError('ERR_INPUT_CHANGED', `${path} changed after its set was opened: ${reason}`, {
        file: path,
        hint: 'Wait until whatever writes the images is done, then run again.',
      });
    }
    if (this.#options.onCorrupt !== 'skip') {
      throw new WisemergeError('ERR_DATA', `${path} cannot be decoded: ${reason}`, {
        file: path,
        hint: "Restore or remove the file; ImageLoader and cachedFeatures leave such images out with onCorrupt: 'skip'.",
        details: { index },
      });
    }
    this.#corrupt.push({ index, name, reason });
  }
}

/** Rejects with the signal's reason as soon as it is aborted. */
async function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  let settled: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    settled = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    settled!();
  }
}
