// Decompositions of differences natively: see native/merge/lowrank/truncated_svd.h; the numbers are those of
// native/merge/lowrank/low_rank_rows.h.
import { type Engine, type HostBuffer, nativeBuffer, nativeEngine } from '../native.js';
import { addon, call, type NativeLowRank, run } from './addon.js';

/** A matrix of f32 to be taken apart, and room for `rank` vectors of both factors. */
export interface DecomposeCall {
  readonly matrix: number;
  readonly rows: number;
  readonly columns: number;
  readonly rank: number;
  /** The least rank that captures this share of the squares; 1: `rank`, or what there is. */
  readonly energy: number;
  /** Index of F32, F16 or BF16. */
  readonly dtype: number;
  /** The product is (B A)^T. */
  readonly transposed: boolean;
  readonly a: number;
  readonly b: number;
}

export interface Decomposition {
  /** Of the factors; 0: the matrix is zero. */
  readonly rank: number;
  /** Sums of squares: of the matrix, of the product of the stored factors, of what they leave. */
  readonly squares: { readonly matrix: number; readonly product: number; readonly residual: number };
}

export class LowRank implements Disposable {
  readonly #native: NativeLowRank;

  /** `threads` 0: all. */
  constructor(engine: Engine, arena: HostBuffer, threads: number) {
    this.#native = call(() => new addon.LowRank(nativeEngine(engine), nativeBuffer(arena), threads));
  }

  /** The random start follows from seed and name. Rejects with ERR_DATA for what is not finite. */
  async decompose(
    { matrix, rows, columns, rank, energy, dtype, transposed, a, b }: DecomposeCall,
    seed: number,
    name: string,
    signal?: AbortSignal,
  ): Promise<Decomposition> {
    const numbers = [matrix, rows, columns, rank, energy, dtype, Number(transposed), a, b];
    const result = await run(() => this.#native.decompose(Float64Array.from(numbers), seed, name), signal);
    const [found, of, product, residual] = result as unknown as [number, number, number, number];
    return { rank: found, squares: { matrix: of, product, residual } };
  }

  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
