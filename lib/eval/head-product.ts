import { dtypeByName, type Engine } from '../native.js';
import type { Arena, ArenaLayout } from './arena.js';
import type { HeadPair } from './linear-head.js';

/** A linear head on embeddings, interpolated inside the product. */
export class HeadProduct {
  readonly #heads: HeadPair;
  readonly #at: Readonly<
    Record<'embeddings' | 'zeroshot' | 'finetuned' | 'bias0' | 'bias1' | 'logits', number>
  >;

  constructor(layout: ArenaLayout, rows: number, heads: HeadPair) {
    const { classes, dimension, biases, zeroshot, finetuned } = heads;
    this.#heads = heads;
    this.#at = {
      embeddings: layout.reserve(4 * rows * dimension),
      zeroshot: layout.reserve(zeroshot.byteLength),
      finetuned: layout.reserve(finetuned.byteLength),
      bias0: biases ? layout.reserve(4 * classes) : -1,
      bias1: biases ? layout.reserve(4 * classes) : -1,
      logits: layout.reserve(4 * rows * classes),
    };
  }

  /** `heads`: others of the same shape and dtype, with a bias or without as those before. */
  load(arena: Arena, heads = this.#heads): void {
    const { zeroshot, finetuned, biases, classes } = heads;
    arena.bytes(this.#at.zeroshot, zeroshot.byteLength).set(zeroshot);
    arena.bytes(this.#at.finetuned, finetuned.byteLength).set(finetuned);
    if (!biases) return;
    arena.floats(this.#at.bias0, classes).set(biases.zeroshot);
    arena.floats(this.#at.bias1, classes).set(biases.finetuned);
  }

  /** Logits [rows, classes] of embeddings [rows, dimension]. */
  async run(
    engine: Engine,
    arena: Arena,
    embeddings: Float32Array,
    alpha: number,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array> {
    const { classes, dimension, dtype } = this.#heads;
    const at = this.#at;
    const rows = embeddings.length / dimension;
    arena.floats(at.embeddings, embeddings.length).set(embeddings);
    const a = [dtypeByName('F32')!.index, at.embeddings, dimension, 1];
    const w = [dtypeByName(dtype)!.index, at.zeroshot, at.finetuned, dimension, 1];
    const out = [alpha, at.bias0, at.bias1, at.logits, classes];
    await engine.matmul(arena.buffer, [rows, classes, dimension, ...a, ...w, ...out], signal);
    return arena.floats(at.logits, rows * classes).slice();
  }
}
