import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isElementAligned } from '../checkpoint/alignment.js';
import {
  BlockRing,
  type RingInput,
  type RingRange,
  type RingSegment,
  rangeBytes,
} from '../checkpoint/block-ring.js';
import { InputPool } from '../checkpoint/input-pool.js';
import type { OutputFile } from '../checkpoint/layout.js';
import { OutputWriter, type WrittenFile } from '../checkpoint/output-writer.js';
import type { ProgressMeter } from '../checkpoint/progress.js';
import { cutRanges, type OutputRange, type RangeSegment, type Source } from '../checkpoint/ranges.js';
import { runAhead } from '../checkpoint/run-ahead.js';
import { settleAll } from '../checkpoint/settle.js';
import { dtypeInfo, itemSize, type TensorInfo } from '../checkpoint/tensor.js';
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
      await set.rangeDone();
    };
    return { done: finish() };
  };
  try {
    await runAhead(
      allRanges(outputs, (name) => sources.get(name)!),
      submit,
      signal,
    );
    await inputs.close();
    const written = await Promise.all(outputs.map((set) => set.written()));
    return directories.map((_, k) => ({
      files: written.map((files) => files[k]!),
      nonFinite: nonFinite[k]!,
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
): Generator<{ set: OutputSet; range: OutputRange }> {
  for (const set of outputs) {
    for (const range of cutRanges(set.file, source, rangeBytes)) {
      set.rangeStarted();
      yield { set, range };
    }
    set.allStarted();
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
  #pending = 0;
  #all = false;

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

  rangeStarted(): void {
    this.#pending++;
  }

  /** The generator has handed out the file's last range. */
  allStarted(): void {
    this.#all = true;
  }

  async rangeDone(): Promise<void> {
    this.#pending--;
    if (this.#all && this.#pending === 0) await this.written();
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
  const own = new Map(Object.entries(tensorAlphas));
  const values = [...new Set(own.values())];
  return {
    alphas: [alphas, ...values.map((alpha) => [alpha])],
    setOf: (tensor) => (own.has(tensor) ? 1 + values.indexOf(own.get(tensor)!) : 0),
  };
}

/** A complex tensor is interpolated as twice as many reals. */
function ringRange(
  { segments, position, length }: OutputRange,
  output: number,
  outDtypes: ReadonlyMap<string, DTypeName>,
  setOf: (tensor: string) => number,
): RingRange {
  const segmentOf = ({ tensor, source: { x, y }, skip, count, outAt }: RangeSegment): RingSegment => {
    if (!y) return { dtypes: copied, count: count * itemSize(x.dtype), x: input(x, skip), y, outAt };
    const complex = x.dtype === 'C64';
    const index = (dtype: DTypeName): number => (complex ? dtypeByName('F32')! : dtypeInfo(dtype)).index;
    return {
      dtypes: [index(x.dtype), index(y.dtype), index(outDtypes.get(tensor)!)],
      count: complex ? 2 * count : count,
      x: input(x, skip),
      y: input(y, skip),
      outAt,
      alphas: setOf(tensor),
    };
  };
  return { segments: segments.map(segmentOf), output, position, length };
}

/** Copies are of bytes. */
const copied: readonly number[] = Array.from({ length: 3 }, () => dtypeByName('U8')!.index);

function input({ file, offset, dtype }: TensorInfo, skip: number): RingInput {
  return { file, position: offset + skip * itemSize(dtype) };
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

function inputBytes(segments: readonly RangeSegment[]): number {
  return segments.reduce(
    (sum, { source: { x, y }, count }) => sum + count * (itemSize(x.dtype) + (y ? itemSize(y.dtype) : 0)),
    0,
  );
}

/** Creates the directories of the outputs. */
export async function makeDirectories(directories: readonly string[]): Promise<void> {
  for (const directory of directories) await mkdir(directory, { recursive: true });
}
