import { join } from 'node:path';
import { isElementAligned } from '../checkpoint/alignment.js';
import {
  BlockRing,
  type RingRange,
  type RingSegment,
  rangeBytes,
  ringInput,
} from '../checkpoint/block-ring.js';
import { InputPool } from '../checkpoint/input-pool.js';
import type { OutputFile } from '../checkpoint/layout.js';
import { OutputWriter, type WrittenFile } from '../checkpoint/output-writer.js';
import type { ProgressMeter } from '../checkpoint/progress.js';
import { cutRanges, type OutputRange, type RangeSegment, type Source } from '../checkpoint/ranges.js';
import { runAhead } from '../checkpoint/run-ahead.js';
import { settleAll } from '../checkpoint/settle.js';
import { dtypeInfo, itemSize } from '../checkpoint/tensor.js';
import { type DTypeName, dtypeByName, type Engine } from '../native.js';
import type { ResolvedOptions } from './options.js';
import type { PreparedMerge } from './plan.js';

/** What the stream leaves behind, per alpha. */
export interface StreamOutput {
  readonly files: readonly WrittenFile[];
  /** Tensors with NaN or infinite elements in the output, and how many. */
  readonly nonFinite: ReadonlyMap<string, number>;
}

/**
 * Reads both models once and writes all outputs: for each range of the output layout, read the two inputs,
 * compute every alpha, write. `directories` exist and are empty, one per alpha.
 */
export async function streamMerge(
  { options, zeroshot, finetuned, pairs, layout, ring: shape }: PreparedMerge,
  directories: readonly string[],
  engine: Engine,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<StreamOutput[]> {
  const sources = new Map<string, Source>(
    pairs.map(({ x, y, action }) => [x.name, { x, y: action === 'lerp' ? y : undefined }]),
  );
  const outDtypes = new Map(pairs.map(({ x, outDtype }) => [x.name, outDtype]));
  const nonFinite = directories.map(() => new Map<string, number>());
  const inputs = new InputPool([...zeroshot.files, ...finetuned.files], options.readMode);
  const { alphas, setOf } = alphaSets(options);
  const ring = await BlockRing.open(engine, inputs, shape, shape.slots, alphas);
  const outputs = layout.files.map((file) => new OutputSet(file, directories, ring));

  const submit = async ({ set, range }: { readonly set: OutputSet; readonly range: OutputRange }) => {
    const output = await set.open();
    const { done } = await ring.submit(ringRange(range, output, outDtypes, setOf), signal);
    const finish = async (): Promise<void> => {
      countNonFinite(range.segments, await done, nonFinite);
      const bytes = range.length * directories.length + inputBytes(range.segments);
      progress.add(bytes, range.segments.at(-1)?.tensor);
      await set.rangeDone(range.length);
    };
    return { done: finish() };
  };
  try {
    await runAhead(
      allRanges(outputs, (name) => sources.get(name)!, rangeBytes(shape.block, layout.bytes)),
      submit,
      signal,
    );
    await inputs.close();
    const written = await Promise.all(outputs.map((set) => set.written()));
    return directories.map((_, k) => ({
      files: written.map((files) => files[k]!),
      nonFinite: inOrder(nonFinite[k]!, sources.keys()),
    }));
  } catch (error) {
    await Promise.allSettled([inputs.close(), ...outputs.map((set) => set.abandon())]);
    throw error;
  } finally {
    ring.close();
  }
}

function* allRanges(
  outputs: readonly OutputSet[],
  source: (tensor: string) => Source,
  size: number,
): Generator<{ set: OutputSet; range: OutputRange }> {
  for (const set of outputs) {
    for (const range of cutRanges(set.file, source, size)) yield { set, range };
  }
}

/** One output file in every directory: opened with its first range, finished with its last. */
class OutputSet {
  readonly file: OutputFile;
  readonly #directories: readonly string[];
  readonly #ring: BlockRing;
  #writers: readonly OutputWriter[] = [];
  #opened: Promise<number> | undefined;
  #finished: Promise<WrittenFile[]> | undefined;
  #done = 0;

  constructor(file: OutputFile, directories: readonly string[], ring: BlockRing) {
    this.file = file;
    this.#directories = directories;
    this.#ring = ring;
  }

  /** Gives its number in the ring. */
  open(): Promise<number> {
    this.#opened ??= this.#create();
    return this.#opened;
  }

  async #create(): Promise<number> {
    const aligned = isElementAligned(this.file);
    const writers: OutputWriter[] = [];
    this.#writers = writers;
    for (const directory of this.#directories) {
      writers.push(await OutputWriter.create(join(directory, this.file.name), this.file.bytes, aligned));
    }
    return this.#ring.addOutput(writers, this.file.header);
  }

  /** A range of `length` bytes has been written; ends the files with their last one. */
  async rangeDone(length: number): Promise<void> {
    this.#done += length;
    if (this.#done === this.file.bytes) await this.written();
  }

  /** Finishes every copy (once). */
  written(): Promise<WrittenFile[]> {
    this.#finished ??= this.#finish();
    return this.#finished;
  }

  async #finish(): Promise<WrittenFile[]> {
    const hashes = this.#ring.finishOutput(await this.open());
    return settleAll(this.#writers.map((writer, k) => writer.finish(hashes[k]!)));
  }

  async abandon(): Promise<void> {
    if (this.#finished) return;
    await this.#opened?.catch(() => {});
    for (const writer of this.#writers) await writer.abandon();
  }
}

/** The alphas of all tensors, and those of tensors with their own: each different value once. */
function alphaSets({ alphas, tensorAlphas = {} }: ResolvedOptions): {
  readonly alphas: readonly (readonly number[])[];
  readonly setOf: (tensor: string) => number;
} {
  const sets = [alphas];
  const setOfAlpha = new Map<number, number>();
  const setOf = new Map<string, number>();
  for (const [tensor, alpha] of Object.entries(tensorAlphas)) {
    if (!setOfAlpha.has(alpha)) setOfAlpha.set(alpha, sets.push([alpha]) - 1);
    setOf.set(tensor, setOfAlpha.get(alpha)!);
  }
  return { alphas: sets, setOf: (tensor) => setOf.get(tensor) ?? 0 };
}

/** A complex tensor is interpolated as twice as many reals. */
function ringRange(
  { segments, position, length }: OutputRange,
  output: number,
  outDtypes: ReadonlyMap<string, DTypeName>,
  setOf: (tensor: string) => number,
): RingRange {
  const segmentOf = ({ tensor, source: { x, y }, skip, count, outAt }: RangeSegment): RingSegment => {
    if (!y) {
      const { index } = dtypeInfo(x.dtype);
      const bytes = count * itemSize(x.dtype);
      return { dtypes: [index, index, index], count: bytes, x: ringInput(x, skip), y, outAt };
    }
    const complex = x.dtype === 'C64';
    const index = (dtype: DTypeName): number => (complex ? dtypeByName('F32')! : dtypeInfo(dtype)).index;
    return {
      dtypes: [index(x.dtype), index(y.dtype), index(outDtypes.get(tensor)!)],
      count: complex ? 2 * count : count,
      x: ringInput(x, skip),
      y: ringInput(y, skip),
      outAt,
      alphas: setOf(tensor),
    };
  };
  return { segments: segments.map(segmentOf), output, position, length };
}

function countNonFinite(
  segments: readonly RangeSegment[],
  counts: Float64Array,
  nonFinite: readonly Map<string, number>[],
): void {
  segments.forEach(({ tensor }, i) => {
    nonFinite.forEach((totals, k) => {
      const count = counts[i * nonFinite.length + k]!;
      if (count > 0) totals.set(tensor, (totals.get(tensor) ?? 0) + count);
    });
  });
}

/** Ranges end in any order; a result does not depend on it. */
function inOrder(counts: ReadonlyMap<string, number>, tensors: Iterable<string>): Map<string, number> {
  return new Map(
    [...tensors].flatMap((name) => (counts.has(name) ? [[name, counts.get(name)!] as const] : [])),
  );
}

function inputBytes(segments: readonly RangeSegment[]): number {
  return segments.reduce(
    (sum, { source: { x, y }, count }) => sum + count * (itemSize(x.dtype) + (y ? itemSize(y.dtype) : 0)),
    0,
  );
}
