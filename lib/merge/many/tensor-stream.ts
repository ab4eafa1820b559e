import { join } from 'node:path';
import { isElementAligned } from '../../checkpoint/alignment.js';
import { nameFile } from '../../checkpoint/descriptor-error.js';
import type { ReadMode } from '../../checkpoint/input-file.js';
import { InputPool, type Lease } from '../../checkpoint/input-pool.js';
import type { OutputFile, OutputLayout } from '../../checkpoint/layout.js';
import { OutputWriter, type WrittenFile } from '../../checkpoint/output-writer.js';
import type { ProgressMeter } from '../../checkpoint/progress.js';
import { runAhead } from '../../checkpoint/run-ahead.js';
import { MergeStream, type MergeStreamTensor } from '../../native/merge.js';
import { type DTypeName, type Engine, HostBuffer } from '../../native.js';
import type { Chunks } from './chunks.js';
import { encodeTensor, StreamParts } from './encode-tensor.js';
import type { ModelData, TensorSource } from './model-data.js';
import { inputBytes, type TensorWork } from './work.js';

/** What a stream needs besides the work itself. */
export interface StreamContext {
  /** Whose files the sources are in. */
  readonly models: readonly Pick<ModelData, 'files'>[];
  readonly engine: Engine;
  readonly chunks: Chunks;
  readonly seed: number;
  readonly readMode?: ReadMode;
  readonly progress: ProgressMeter;
  readonly signal?: AbortSignal;
}

export interface StreamedFiles {
  readonly files: readonly WrittenFile[];
  /** Tensors with NaN or infinite elements in the output, and how many. */
  readonly nonFinite: ReadonlyMap<string, number>;
  readonly warnings: readonly string[];
}

interface Item {
  readonly file: OpenFile;
  readonly work: TensorWork;
  readonly dtype: DTypeName;
  readonly bytes: number;
  readonly last: boolean;
}

/** Makes all files of `layout` in `directory`, tensor by tensor in file order, from one opening of each input. */
export async function streamTensors(
  work: ReadonlyMap<string, TensorWork>,
  layout: OutputLayout,
  directory: string,
  context: StreamContext,
): Promise<StreamedFiles> {
  const { engine, chunks, seed, signal, progress } = context;
  const inputs = new InputPool(
    context.models.flatMap(({ files }) => files),
    context.readMode,
  );
  const arena = new HostBuffer(chunks.arena);
  let stream: MergeStream | undefined;
  const files = layout.files.map((file) => new OpenFile(file, directory));
  const nonFinite = new Map<string, number>();
  const noted = { nothingKept: [] as string[], degenerate: [] as string[] };
  try {
    await engine.pin(arena);
    stream = new MergeStream(engine, arena, chunks.chunkBytes, seed);
    const parts = new StreamParts(stream);
    const submit = async (batch: readonly Item[]): Promise<{ done: Promise<unknown> }> => {
      const lease = await inputs.acquire(batch.flatMap(({ work: { sources } }) => sources.flatMap(filesOf)));
      const tensors: MergeStreamTensor[] = [];
      try {
        for (const { work } of batch) for (const source of work.sources) await parts.add(source, lease);
        for (const item of batch) {
          tensors.push(encodeTensor(item, await item.file.open(stream!), lease, parts));
        }
      } catch (error) {
        await lease.release();
        throw error;
      }
      const finish = async (): Promise<void> => {
        try {
          const reports = await stream!.run(tensors, signal);
          for (const [i, item] of batch.entries()) {
            const report = reports[i]!;
            if (report.nonFinite > 0) nonFinite.set(item.work.name, report.nonFinite);
            if (report.nothingKept) noted.nothingKept.push(item.work.name);
            if (report.degenerate) noted.degenerate.push(item.work.name);
            progress.add(item.bytes, item.work.name);
            if (item.last) await item.file.finish(report.xxh3);
          }
        } catch (error) {
          throw nameFile(error, (fd) => pathOf(fd, lease, files));
        } finally {
          await lease.release();
        }
      };
      return { done: finish() };
    };
    await runAhead(inBatches(items(files, work)), submit, signal);
    await inputs.close();
    return { files: files.map(({ written }) => written!), nonFinite, warnings: describe(noted) };
  } catch (error) {
    stream?.close();
    await Promise.allSettled([inputs.close(), ...files.map((file) => file.abandon())]);
    throw error;
  } finally {
    stream?.close();
    arena.release();
  }
}

function* items(files: readonly OpenFile[], work: ReadonlyMap<string, TensorWork>): Generator<Item> {
  for (const file of files) {
    const { tensors } = file.layout;
    if (tensors.length === 0) {
      const nothing: TensorWork = {
        name: file.layout.name,
        call: { method: 'copy', row: 1, parameters: [], inputs: [] },
        sources: [],
        count: 0,
      };
      yield { file, work: nothing, dtype: 'U8', bytes: 0, last: true };
    }
    for (const [i, tensor] of tensors.entries()) {
      const one = work.get(tensor.name)!;
      yield {
        file,
        work: one,
        dtype: tensor.dtype,
        bytes: inputBytes(one) + tensor.bytes,
        last: i + 1 === tensors.length,
      };
    }
  }
}

/** Tensors handed over at once: JavaScript's part costs as much per batch as several small tensors do natively. */
const batchTensors = 8;

function* inBatches<T>(items: Iterable<T>): Generator<T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length < batchTensors) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function filesOf({ tensor, addend, gather }: TensorSource): string[] {
  const own = addend ? [tensor.file, addend.a.file, addend.b.file] : [tensor.file];
  return [...own, ...(gather?.tables ?? []).flatMap(filesOf)];
}

/** One output file, open from its first tensor to its last. */
class OpenFile {
  readonly layout: OutputFile;
  readonly #directory: string;
  #writer: OutputWriter | undefined;
  #number: Promise<number> | undefined;
  written: WrittenFile | undefined;

  constructor(layout: OutputFile, directory: string) {
    this.layout = layout;
    this.#directory = directory;
  }

  /** Gives its number in the stream. */
  open(stream: MergeStream): Promise<number> {
    this.#number ??= this.#create(stream);
    return this.#number;
  }

  async #create(stream: MergeStream): Promise<number> {
    const { name, bytes, header } = this.layout;
    this.#writer = await OutputWriter.create(
      join(this.#directory, name),
      bytes,
      isElementAligned(this.layout),
    );
    try {
      return stream.addOutput(this.#writer, header);
    } catch (error) {
      throw nameFile(error, (fd) => this.path(fd));
    }
  }

  async finish(xxh3: string): Promise<void> {
    this.written = await this.#writer!.finish(xxh3);
  }

  async abandon(): Promise<void> {
    await this.#number?.catch(() => {});
    if (!this.written) await this.#writer?.abandon();
  }

  path(fd: number): string | undefined {
    return this.#writer?.fd === fd ? this.#writer.path : undefined;
  }
}

function describe({ nothingKept, degenerate }: { nothingKept: string[]; degenerate: string[] }): string[] {
  const list = (names: readonly string[]): string =>
    `${names.slice(0, 3).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`;
  return [
    ...(nothingKept.length > 0
      ? [`a density too small for their size keeps nothing of some delta of ${list(nothingKept)}`]
      : []),
    ...(degenerate.length > 0 ? [`the deltas of ${list(degenerate)} cancel out: the base was kept`] : []),
  ];
}

/** The path of an input or output that is open. */
function pathOf(fd: number, lease: Lease, files: readonly OpenFile[]): string | undefined {
  const input = [...lease.files.values()].find(
    ({ descriptors }) => descriptors.cached === fd || descriptors.direct === fd,
  );
  return input?.path ?? files.map((one) => one.path(fd)).find((path) => path !== undefined);
}
