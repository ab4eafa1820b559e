import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Block, cutBlocks, isElementAligned, type Source } from '../checkpoint/blocks.js';
import { InputPool } from '../checkpoint/input-pool.js';
import type { OutputFile } from '../checkpoint/layout.js';
import { OutputWriter, type WrittenFile } from '../checkpoint/output-writer.js';
import { runPipeline, type Slot } from '../checkpoint/pipeline.js';
import type { ProgressMeter } from '../checkpoint/progress.js';
import { settleAll } from '../checkpoint/settle.js';
import { dtypeInfo } from '../checkpoint/tensor.js';
import { type DTypeName, dtypeByName, type Engine, lerpColumns } from '../native.js';
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
  { options, zeroshot, finetuned, pairs, layout, shape }: PreparedMerge,
  directories: readonly string[],
  engine: Engine,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<StreamOutput[]> {
  const alphas = Float64Array.from(options.alphas);
  const sources = new Map<string, Source>(
    pairs.map(({ x, y, action }) => [x.name, { x, y: action === 'lerp' ? y : undefined }]),
  );
  const outDtypes = new Map(pairs.map(({ x, outDtype }) => [x.name, outDtype]));
  const nonFinite = directories.map(() => new Map<string, number>());
  const inputs = new InputPool([...zeroshot.files, ...finetuned.files], options.readMode);
  const outputs = layout.files.map((file) => new OutputSet(file, directories));

  const work = async ({ set, block }: { set: OutputSet; block: Block }, slot: Slot): Promise<void> => {
    const writers = await set.open();
    await settleAll([
      inputs.read(block.xReads, slot.arena, slot.x),
      inputs.read(block.yReads, slot.arena, slot.y),
    ]);
    signal?.throwIfAborted();
    const lerped = block.segments.filter(({ source }) => source.y);
    if (lerped.length > 0) {
      const rows = encodeSegments(lerped, outDtypes, slot);
      const counts = await engine.lerp(slot.arena, rows, alphas, signal);
      countNonFinite(lerped, counts, nonFinite);
    }
    for (const out of slot.outs) copyUnchanged(block, set.file, slot, out);
    await settleAll(
      writers.map((writer, k) => writer.write(slot.arena, slot.outs[k]!, block.position, block.length)),
    );
    await set.blockDone();
    progress.add(block.length * writers.length + inputBytes(block), block.segments.at(-1)?.tensor);
  };
  try {
    await runPipeline({
      items: allBlocks(outputs, (name) => sources.get(name)!, shape),
      slots: shape.slots,
      shape,
      outputs: directories.length,
      engine,
      work,
      onFailure: () => void Promise.allSettled(outputs.map((set) => set.abandon())),
      signal,
    });
    await inputs.close();
    const written = await Promise.all(outputs.map((set) => set.written()));
    return directories.map((_, k) => ({
      files: written.map((files) => files[k]!),
      nonFinite: nonFinite[k]!,
    }));
  } catch (error) {
    await Promise.allSettled([inputs.close(), ...outputs.map((set) => set.abandon())]);
    throw error;
  }
}

function* allBlocks(
  outputs: readonly OutputSet[],
  source: (tensor: string) => Source,
  shape: PreparedMerge['shape'],
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
  #writers: Promise<OutputWriter[]> | undefined;
  #finished: Promise<WrittenFile[]> | undefined;
  #pending = 0;
  #all = false;

  constructor(file: OutputFile, directories: readonly string[]) {
    this.file = file;
    this.#directories = directories;
  }

  open(): Promise<OutputWriter[]> {
    this.#writers ??= this.#create();
    return this.#writers;
  }

  async #create(): Promise<OutputWriter[]> {
    const aligned = isElementAligned(this.file);
    const writers: OutputWriter[] = [];
    try {
      for (const directory of this.#directories) {
        writers.push(await OutputWriter.create(join(directory, this.file.name), this.file.bytes, aligned));
      }
      return writers;
    } catch (error) {
      for (const writer of writers) await writer.abandon();
      throw error;
    }
  }

  blockStarted(): void {
    this.#pending++;
  }

  /** The generator has handed out the file's last block. */
  allStarted(): void {
    this.#all = true;
  }

  async blockDone(): Promise<void> {
    this.#pending--;
    // The generator learns that a block was the last when it is asked for the next; a file whose blocks are
    // all done by then is finished by `written`.
    if (this.#all && this.#pending === 0) await this.written();
  }

  /** Finishes every copy (once). */
  written(): Promise<WrittenFile[]> {
    this.#finished ??= this.open().then((writers) => Promise.all(writers.map((writer) => writer.finish())));
    return this.#finished;
  }

  async abandon(): Promise<void> {
    const writers = await this.#writers?.catch(() => []);
    if (!this.#finished) for (const writer of writers ?? []) await writer.abandon();
  }
}

/** Rows of `Engine.lerp`. A complex tensor is interpolated as twice as many reals. */
function encodeSegments(
  segments: Block['segments'],
  outDtypes: ReadonlyMap<string, DTypeName>,
  slot: Slot,
): Float64Array {
  const rows = new Float64Array(segments.length * (lerpColumns + slot.outs.length));
  let at = 0;
  for (const { source, tensor, count, xAt, yAt, outAt } of segments) {
    const complex = source.x.dtype === 'C64';
    const index = (dtype: DTypeName): number => (complex ? dtypeByName('F32')! : dtypeInfo(dtype)).index;
    rows[at++] = index(source.x.dtype);
    rows[at++] = index(source.y!.dtype);
    rows[at++] = index(outDtypes.get(tensor)!);
    rows[at++] = complex ? 2 * count : count;
    rows[at++] = slot.x + xAt;
    rows[at++] = slot.y + yAt;
    for (const out of slot.outs) rows[at++] = out + outAt;
  }
  return rows;
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

/** What is the same in every output: the header, and tensors that are not interpolated. */
function copyUnchanged(block: Block, file: OutputFile, slot: Slot, out: number): void {
  if (block.position < file.header.length) {
    const header = file.header.subarray(block.position, block.position + block.length);
    slot.arena.bytes(out, header.length).set(header);
  }
  for (const { source, bytes, xAt, outAt } of block.segments) {
    if (source.y) continue;
    slot.arena.bytes(out + outAt, bytes).set(slot.arena.bytes(slot.x + xAt, bytes));
  }
}

function inputBytes(block: Block): number {
  return [...block.xReads, ...block.yReads].reduce((sum, { length }) => sum + length, 0);
}

/** Creates the directories of the outputs. */
export async function makeDirectories(directories: readonly string[]): Promise<void> {
  for (const directory of directories) await mkdir(directory, { recursive: true });
}
