import type { WrittenFile } from '../../checkpoint/output-writer.js';
import type { LeftReason } from './targets.js';

/** What became of one adapted weight. */
export interface ExtractedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly rank: number;
  /** ‖y − x‖ of the weight in both models, Frobenius. */
  readonly difference: number;
  /** ‖B A‖² / ‖y − x‖², of the factors as they are stored. */
  readonly energy: number;
  /** ‖y − x − B A‖ / ‖y − x‖. */
  readonly relativeError: number;
}

/** A tensor that differs and is not in the adapter. */
export interface LeftOutTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly why: LeftReason;
  readonly difference: number;
  /** Of all squares of the difference that the adapter does not give. */
  readonly share: number;
}

/** JSON-serialisable. */
export interface ExtractLoraResult {
  readonly directory: string;
  readonly files: readonly WrittenFile[];
  readonly tensors: readonly ExtractedTensor[];
  /** Tensors that are in the adapter as a whole. */
  readonly saved: readonly string[];
  /** By how much is lost, the most first. */
  readonly left: readonly LeftOutTensor[];
  /** Float tensors that are equal in both models. */
  readonly unchanged: number;
  /** Over all float tensors: ‖y − x‖, the share of its squares that is captured, and what is left of it. */
  readonly total: {
    readonly difference: number;
    readonly energy: number;
    readonly relativeError: number;
  };
  readonly parameters: number;
  readonly bytesWritten: number;
  readonly seconds: number;
  readonly device: string;
  readonly warnings: readonly string[];
}

/** Sums of squares over the tensors gone through so far. */
export class ExtractTally {
  readonly tensors: ExtractedTensor[] = [];
  readonly #left: (Omit<LeftOutTensor, 'share'> & { readonly squares: number })[] = [];
  unchanged = 0;
  #all = 0;
  #lost = 0;

  adapted(
    { name, shape }: { readonly name: string; readonly shape: readonly number[] },
    rank: number,
    {
      matrix,
      product,
      residual,
    }: { readonly matrix: number; readonly product: number; readonly residual: number },
  ): void {
    this.#all += matrix;
    this.#lost += residual;
    this.tensors.push({
      name,
      shape,
      rank,
      difference: Math.sqrt(matrix),
      energy: product / matrix,
      relativeError: Math.sqrt(residual / matrix),
    });
  }

  saved(squares: number): void {
    this.#all += squares;
  }

  leftOut(tensor: { name: string; shape: readonly number[] }, why: LeftReason, squares: number): void {
    this.#all += squares;
    this.#lost += squares;
    const { name, shape } = tensor;
    this.#left.push({ name, shape, why, difference: Math.sqrt(squares), squares });
  }

  report(): Pick<ExtractLoraResult, 'tensors' | 'left' | 'unchanged' | 'total'> {
    return {
      tensors: this.tensors,
      left: this.#left
        .toSorted((a, b) => b.squares - a.squares)
        .map(({ squares, ...tensor }) => ({ ...tensor, share: squares / this.#lost })),
      unchanged: this.unchanged,
      total: {
        difference: Math.sqrt(this.#all),
        energy: this.#all > 0 ? 1 - this.#lost / this.#all : 1,
        relativeError: this.#all > 0 ? Math.sqrt(this.#lost / this.#all) : 0,
      },
    };
  }
}
