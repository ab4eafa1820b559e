import { type Engine, type HostBuffer, nativeBuffer, nativeEngine } from '../native.js';
import { addon, call, type NativeStream, run } from './addon.js';

/** What a {@link BlockStream} does with its blocks. */
export interface BlockStreamOptions {
  readonly engine: Engine;
  /** Cut into as many slots as fit, one per thread. */
  readonly arena: HostBuffer;
  /** Whole pages of 4096 bytes. */
  readonly slotBytes: number;
  /** Regions of a slot for outputs. None: compares. */
  readonly outs: readonly number[];
  /** [set][out]: each segment is interpolated at the alphas of one set. */
  readonly alphas: Float64Array;
}

/**
 * Threads that each take a block from its inputs to its outputs: read, compute, hash, write. See
 * native/core/block_stream.h; the numbers that describe blocks are those of native/core/block_rows.h.
 */
export class BlockStream {
  readonly #native: NativeStream;

  constructor({ engine, arena, slotBytes, alphas, outs }: BlockStreamOptions) {
    this.#native = call(
      () =>
        new addon.BlockStream(
          nativeEngine(engine),
          nativeBuffer(arena),
          slotBytes,
          alphas,
          Float64Array.from(outs),
        ),
    );
  }

  /** Files written alike, one per region, that begin with `header`. Gives the output's number in blocks. */
  addOutput(files: readonly { fd: number; direct: boolean }[], header: Uint8Array): number {
    const fds = Float64Array.from(files, ({ fd }) => fd);
    const direct = Uint8Array.from(files, (file) => Number(file.direct));
    return call(() => this.#native.addOutput(fds, direct, header));
  }

  /**
   * Gives what `Engine.lerp` or `Engine.compare` would for all segments of all blocks in order. An error about a
   * file has its `fd` and the `operation` that failed in `details`. After an error all runs of the stream fail.
   */
  run(blocks: Float64Array, signal?: AbortSignal): Promise<Float64Array> {
    return run(() => this.#native.run(blocks), signal);
  }

  /** Lets go of an output whose blocks have all been run; gives the XXH3-64 of each file, 16 hex digits. */
  finishOutput(output: number): string[] {
    return call(() => this.#native.finishOutput(output));
  }

  /** Ends the threads; fails what they have not done. */
  close(): void {
    this.#native.close();
  }
}
