import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BlockRing, type RingBlock, type RingSegment, runBatches } from '../checkpoint/block-ring.js';
import { type Block, cutBlocks, isElementAligned, type Source } from '../checkpoint/blocks.js';
import { InputPool } from '../checkpoint/input-pool.js';
import type { OutputFile } from '../checkpoint/layout.js';
import { OutputWriter, type WrittenFile } from '../checkpoint/output-writer.js';
import type { ProgressMeter } from '../checkpoint/progress.js';
import { settleAll } from '../checkpoint/settle.js';
import { dtypeInfo } from '../checkpoint/tensor.js';
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
 * Reads both models once and writes all outputs: for each block of the output layout, read the two inputs,
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

  const submit = async (batch: readonly { set: OutputSet; block: Block }[]) => {
    const set = batch[0]!.set;
    const output = await set.open();
    const blocks = batch.map(({ block }) => ringBlock(block, output, outDtypes, setOf));
    const { done } = await ring.submit(blocks, signal);
    const finish = async (): Promise<void> => {
      const counts = await done;
      const lerped = batch.flatMap(({ block }) => block.segments.filter(({ source }) => source.y));
      countNonFinite(lerped, counts, nonFinite);
      for (const { block } of batch) {
        progress.add(block.length * directories.length + inputBytes(block), block.segments.at(-1)?.tensor);
      }
      await set.blocksDone(batch.length);
    };
    return { done: finish() };
  };
  try {
    await runBatches(
      allBlocks(outputs, (name) => sources.get(name)!, shape),
      (first, next) => first.set === next.set,
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

function* allBlocks(
  outputs: readonly OutputSet[],
  source: (tensor: string) => Source,
  shape: PreparedMerge['ring'],
): Generator<{ set: OutputSet; block: Block }> {
  for (const set of outputs) {
    for (const block of cutBlocks(set.file, source, shape)) {
      set.blockStarted();
      yield { set, block };
    }
    set.allStarted();
  }
}

/** One output file in every directory: opened with its first block, finished with its last. */
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

  blockStarted(): void {
    this.#pending++;
  }

  /** The generator has handed out the file's last block. */
  allStarted(): void {
    this.#all = true;
  }

  async blocksDone(count: number): Promise<void> {
    this.#pending -= count;
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
function ringBlock(
  block: Block,
  output: number,
  outDtypes: ReadonlyMap<string, DTypeName>,
  setOf: (tensor: string) => number,
): RingBlock {
  const segments: RingSegment[] = [];
  const copies: [number, number, number][] = [];
  for (const { source, tensor, count, bytes, xAt, yAt, outAt } of block.segments) {
    if (!source.y) {
      copies.push([xAt, outAt, bytes]);
      continue;
    }
    const complex = source.x.dtype === 'C64';
    const index = (dtype: DTypeName): number => (complex ? dtypeByName('F32')! : dtypeInfo(dtype)).index;
    const dtypes = [index(source.x.dtype), index(source.y.dtype), index(outDtypes.get(tensor)!)];
    const elements = complex ? 2 * count : count;
    segments.push({ dtypes, count: elements, xAt, yAt, outAt, alphas: setOf(tensor) });
  }
  const { xReads, yReads, position, length } = block;
  return { xReads, yReads, segments, copies, output, position, length };
}

function countNonFinite(
  segments: Block['segments'],
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

function inputBytes(block: Block): number {
  return [...block.xReads, ...block.yReads].reduce((sum, { length }) => sum + length, 0);
}

/** Creates the directories of the outputs. */
export async function makeDirectories(directories: readonly string[]): Promise<void> {
  for (const directory of directories) await mkdir(directory, { recursive: true });
}
