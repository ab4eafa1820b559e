// Merging many models natively: see native/merge/merge_stream.h; the numbers are those of native/merge/job_rows.h,
// the parameters those of the files in native/merge/methods/.
import { type Engine, type HostBuffer, nativeBuffer, nativeEngine } from '../native.js';
import { addon, call, type NativeMergeStream, run } from './addon.js';

/** Elements of which sums are taken together: what is cut is cut at multiples of it (merge.h). */
export const mergeSpan = 2 ** 16;
/** Room in a chunk for the alignment of direct reads. */
export const chunkSlack = 8192;
/** What the stream takes of its arena besides chunks. */
export const sinkBytes = 8 * 2 ** 20;

/** Names of the native methods; `task_vectors_rows` and the like take whole rows. */
export type NativeMethod =
  | 'copy'
  | 'rounded'
  | 'linear'
  | 'slerp'
  | 'nuslerp'
  | 'nuslerp_vectors'
  | 'multislerp'
  | 'karcher'
  | 'task_vectors'
  | 'task_vectors_rows'
  | 'model_stock'
  | 'model_stock_rows'
  | 'sce'
  | 'ram'
  | 'nearswap'
  | 'arcee_fusion'
  | 'fisher'
  | 'regmean'
  | 'warp'
  | 'noise';

/** A contiguous tensor of an open file. */
export interface MergeStreamTable {
  readonly fd: number;
  /** Past the page cache; -1: not so. */
  readonly directFd: number;
  readonly position: number;
  /** `DTypeInfo.index`. */
  readonly dtype: number;
  /** Of `addLowRank`. */
  readonly addend?: number;
}

/** One input as a stream reads it. */
export interface MergeStreamInput extends MergeStreamTable {
  /** Its rows are gathered: the map of `addRowMap`, and its tables with their numbers of rows, this one first. */
  readonly gather?: {
    readonly map: number;
    readonly tables: readonly (MergeStreamTable & { readonly rows: number })[];
  };
  readonly parameters: readonly number[];
}

/** One output tensor. */
export interface MergeStreamTensor {
  readonly name: string;
  readonly method: NativeMethod;
  readonly output: number;
  /** The last of its output, whose file is finished with it. */
  readonly last: boolean;
  readonly dtype: number;
  readonly count: number;
  /** Elements of a row in the method's view of the tensor; at least 1. */
  readonly row: number;
  /** Index of the base among the inputs. */
  readonly base?: number;
  readonly parameters: readonly number[];
  readonly inputs: readonly MergeStreamInput[];
}

/** What became of one tensor. */
export interface MergeStreamReport {
  readonly nonFinite: number;
  /** Nothing of some delta was kept. */
  readonly nothingKept: boolean;
  /** Deltas that cancel out: the base was kept. */
  readonly degenerate: boolean;
  /** Of the output file, where the tensor was its last: XXH3-64, 16 hex digits. */
  readonly xxh3: string;
}

const notes = { nothingKept: 1, degenerate: 4 };

/** Factors of a low-rank change: `scale * B A`, A of rank x columns, B of rows x rank. */
export interface LowRankFactors {
  readonly rows: number;
  readonly columns: number;
  readonly rank: number;
  readonly scale: number;
  /** The tensor is stored as the transpose of B A. */
  readonly transposed: boolean;
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** Where the rows of a gathered tensor come from: see native/merge/row_gather.h. */
export interface RowMapNumbers {
  readonly rows: Int32Array;
  readonly mixEnds: Uint32Array;
  readonly tables: Uint32Array;
  readonly tableRows: Uint32Array;
}

/** Threads that take tensors from their inputs through a method to their output files, in order. */
export class MergeStream {
  readonly #native: NativeMergeStream;
  readonly #methods: ReadonlyMap<string, number>;

  constructor(engine: Engine, arena: HostBuffer, chunkBytes: number, seed: number) {
    this.#native = call(
      () => new addon.MergeStream(nativeEngine(engine), nativeBuffer(arena), chunkBytes, seed),
    );
    this.#methods = new Map(addon.mergeMethods().map((name, i) => [name, i]));
  }

  /** A file that begins with `header`. Its tensors must be run in file order, without gaps. */
  addOutput(file: { readonly fd: number; readonly direct: boolean }, header: Uint8Array): number {
    return call(() => this.#native.addOutput(file.fd, file.direct, header));
  }

  addLowRank({ rows, columns, rank, scale, transposed, a, b }: LowRankFactors): number {
    return call(() => this.#native.addLowRank(rows, columns, rank, scale, transposed, a, b));
  }

  addRowMap({ rows, mixEnds, tables, tableRows }: RowMapNumbers): number {
    return call(() => this.#native.addRowMap(rows, mixEnds, tables, tableRows));
  }

  /**
   * An error about a file has its `fd` and the `operation` that failed in `details`. After an error all runs of
   * the stream fail.
   */
  async run(tensors: readonly MergeStreamTensor[], signal?: AbortSignal): Promise<MergeStreamReport[]> {
    const numbers: number[] = [];
    for (const tensor of tensors) this.#encode(tensor, numbers);
    const names = tensors.map(({ name }) => name);
    const reports = await run(() => this.#native.run(Float64Array.from(numbers), names), signal);
    return tensors.map((_, i) => {
      const [nonFinite, noted, high, low] = reports.subarray(4 * i, 4 * i + 4) as unknown as number[];
      const hex = (half: number): string => half.toString(16).padStart(8, '0');
      return {
        nonFinite: nonFinite!,
        nothingKept: (noted! & notes.nothingKept) !== 0,
        degenerate: (noted! & notes.degenerate) !== 0,
        xxh3: hex(high!) + hex(low!),
      };
    });
  }

  #encode(tensor: MergeStreamTensor, numbers: number[]): void {
    const { method, output, last, dtype, count, row, base = -1, parameters, inputs } = tensor;
    numbers.push(this.#methods.get(method)!, output, Number(last), dtype, count, row, base, inputs.length);
    numbers.push(...parameters);
    const table = ({ fd, directFd, position, dtype: stored, addend = -1 }: MergeStreamTable): number[] => {
      return [fd, directFd, position, stored, addend];
    };
    for (const { gather, parameters: own, ...input } of inputs) {
      numbers.push(...table(input), gather?.map ?? -1, ...own);
      for (const { rows, ...one } of gather?.tables ?? []) numbers.push(...table(one), rows);
    }
  }

  /** Ends the threads; fails what they have not done. */
  close(): void {
    this.#native.close();
  }
}
