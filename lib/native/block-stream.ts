import { type Engine, type HostBuffer, nativeBuffer, nativeEngine } from '../native.js';
import { addon, call, type NativeStream, run } from './addon.js';

/** What a {@link BlockStream} does with its blocks. */
export interface BlockStreamOptions {
  readonly engine: Engine;
  /** Cut into as many slots as fit. */
  readonly arena: HostBuffer;
  /** Bytes of output per block, and of a slot's regions for inputs, in whole pages of 4096 bytes. */
  readonly shape: { readonly block: number; readonly x: number; readonly y: number };
  /** Files written alike. None: tensors are compared. */
  readonly outputs: number;
  /** [set][output]: each segment is interpolated at the alphas of one set. */
  readonly alphas: Float64Array;
}

/**
 * Threads that take blocks from their inputs to their outputs: read, compute, hash, write. See
 * native/core/block_stream.h; the numbers that describe its work are those of native/core/stream_work.h.
 */
export class BlockStream {
  readonly #native: NativeStream;

  constructor({ engine, arena, shape, outputs, alphas }: BlockStreamOptions) {
    const { block, x, y } = shape;
    this.#native = call(
      () => new addon.BlockStream(nativeEngine(engine), nativeBuffer(arena), block, x, y, outputs, alphas),
    );
  }

  /** Files written alike that begin with `header`. Gives the output's number in ranges. */
  addOutput(files: readonly { fd: number; direct: boolean }[], header: Uint8Array): number {
    const fds = Float64Array.from(files, ({ fd }) => fd);
    const direct = Uint8Array.from(files, (file) => Number(file.direct));
    return call(() => this.#native.addOutput(fds, direct, header));
  }

  /**
   * Gives what `Engine.lerp` or `Engine.compare` would for all segments in order. An error about a
   * file has its `fd` and the `operation` that failed in `details`. After an error all runs of the stream fail.
   */
  run(files: Float64Array, range: Float64Array, signal?: AbortSignal): Promise<Float64Array> {
    return run(() => this.#native.run(files, range), signal);
  }

  /** Lets go of an output whose ranges have all been run; gives the XXH3-64 of each file, 16 hex digits. */
  finishOutput(output: number): string[] {
    return call(() => this.#native.finishOutput(output));
  }

  /** Ends the threads; fails what they have not done. */
  close(): void {
    this.#native.close();
  }
}
