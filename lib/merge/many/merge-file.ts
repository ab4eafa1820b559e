import { join, resolve } from 'node:path';
import { beginCall } from '../../call-options.js';
import { Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { checkSpace } from '../../checkpoint/free-space.js';
import { InputPool } from '../../checkpoint/input-pool.js';
import type { WrittenFile } from '../../checkpoint/output-writer.js';
import { ProgressMeter } from '../../checkpoint/progress.js';
import { OutputTransaction } from '../../checkpoint/transaction.js';
import { makeDirectory } from '../../files/make-directory.js';
import { Engine, engineOptions } from '../../native.js';
import type { OpenedMerge } from '../config/open.js';
import { equalBytes } from '../copied.js';
import type { RunOptions } from '../merge.js';
import { incompatible, type Problem } from '../problems.js';
import { writeCompanions } from './companions.js';
import { checkMergeFileOptions, type MergeFileOptions } from './options.js';
import {
  chosenDevice,
  type DocumentPlan,
  diskSpace,
  documentDirectory,
  type PreparedDocument,
  planDocuments,
  prepareDocument,
} from './plan-file.js';
import { streamTensors } from './tensor-stream.js';
import { equalTensors } from './work.js';
import { writeRecords } from './write-records.js';

/** One model that a merge file made; JSON-serialisable. */
export interface DocumentResult {
  readonly name?: string;
  readonly directory: string;
  readonly files: readonly WrittenFile[];
  /** Tensors with NaN or infinite elements in the output, with their number. */
  readonly nonFinite: Readonly<Record<string, number>>;
}

/** What carrying out a merge file did; JSON-serialisable. */
export interface MergeFileResult {
  /** In the order in which they were made. */
  readonly documents: readonly DocumentResult[];
  /** Of one pass over the inputs; methods that need more read large tensors again. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly seconds: number;
  readonly device: string;
  readonly warnings: readonly string[];
}

export type MergeFileRunOptions = Pick<RunOptions, 'signal' | 'onProgress'> & {
  /** Called with each document's plan before any of its tensor data is read. */
  readonly onPlan?: (plan: DocumentPlan) => void;
};

/**
 * Carries out a merge file in mergekit's form, document by document. Memory is bounded, no result depends on threads,
 * memory or shards, and the output directory appears when it is complete.
 *
 * Rejects with WisemergeError: ERR_MERGE_FILE and ERR_INCOMPATIBLE (all problems in `details.problems`), ERR_ADAPTER,
 * ERR_TOKENIZER, ERR_USAGE, ERR_OUTPUT_*, ERR_NO_SPACE, ERR_MEMORY, ERR_INPUT_CHANGED, ERR_IO, ERR_DEVICE_*; or with
 * the abort reason.
 */
export async function mergeFile(options: MergeFileOptions & MergeFileRunOptions): Promise<MergeFileResult> {
  using _call = beginCall(options);
  const { signal, onProgress, onPlan, ...given } = options;
  checkMergeFileOptions(given);
  const began = performance.now();
  // Everything that headers can tell, before anything is written.
  const { merges, plans } = await planDocuments(given, signal);
  checkSpace(given.out, await diskSpace(given.out, plans));
  const run = new MergeFileRun(merges, given, new ProgressMeter(onProgress), onPlan, signal);
  return await run.run(began);
}

class MergeFileRun {
  readonly #merges: readonly OpenedMerge[];
  readonly #options: MergeFileOptions;
  readonly #progress: ProgressMeter;
  readonly #onPlan: MergeFileRunOptions['onPlan'];
  readonly #signal: AbortSignal | undefined;
  readonly #device: string;
  readonly #warnings: string[] = [];
  /** Models that earlier documents made, by name. */
  readonly #made = new Map<string, string>();
  #bytesRead = 0;

  constructor(
    merges: readonly OpenedMerge[],
    options: MergeFileOptions,
    progress: ProgressMeter,
    onPlan: MergeFileRunOptions['onPlan'],
    signal: AbortSignal | undefined,
  ) {
    this.#merges = merges;
    this.#options = options;
    this.#progress = progress;
    this.#onPlan = onPlan;
    this.#signal = signal;
    this.#device = chosenDevice(options);
  }

  async run(began: number): Promise<MergeFileResult> {
    const { out, force = false, threads } = this.#options;
    const engine = new Engine(engineOptions(this.#device, threads));
    try {
      const transaction = await OutputTransaction.begin(out, { kind: 'merge', force }, this.#signal);
      try {
        const documents: DocumentResult[] = [];
        for (const opened of this.#merges) {
          documents.push(await this.#document(opened, transaction.directory, engine));
        }
        this.#signal?.throwIfAborted();
        await transaction.commit();
        this.#warnings.unshift(...transaction.notes);
        const written = documents.flatMap(({ files }) => files).reduce((sum, { bytes }) => sum + bytes, 0);
        return {
          documents,
          bytesRead: this.#bytesRead,
          bytesWritten: written,
          seconds: (performance.now() - began) / 1000,
          device: this.#device,
          // Documents of one file may warn of the same.
          warnings: [...new Set(this.#warnings)],
        };
      } finally {
        await transaction.rollback();
      }
    } finally {
      engine.close();
    }
  }

  async #document(opened: OpenedMerge, root: string, engine: Engine): Promise<DocumentResult> {
    const { config, merge } = opened;
    const signal = this.#signal;
    signal?.throwIfAborted();
    const several = this.#merges.length > 1;
    const place = documentDirectory(opened, several);
    const directory = join(root, place);
    const models = await Promise.all(merge.models.map((_, i) => this.#model(opened, i)));
    const prepared = await prepareDocument(opened, models, several, this.#options);
    this.#onPlan?.(prepared.plan);
    signal?.throwIfAborted();
    await makeDirectory(directory);
    await this.#checkEqual(prepared);
    const { plan, layout, work, data, chunks, companions } = prepared;
    this.#progress.start('stream', plan.bytesRead + layout.bytes);
    const streamed = await streamTensors(work, layout, directory, {
      models: [...data.models, ...data.statistics],
      engine,
      chunks,
      seed: this.#options.seed ?? 0,
      ...(this.#options.readMode && { readMode: this.#options.readMode }),
      progress: this.#progress,
      ...(signal && { signal }),
    });
    this.#progress.start('finish', 0);
    signal?.throwIfAborted();
    await writeCompanions(companions, opened, models, directory);
    await writeRecords(prepared, streamed, directory, {
      options: this.#options,
      device: this.#device,
    });
    if (config.name !== undefined) this.#made.set(config.name, directory);
    this.#bytesRead += plan.bytesRead;
    this.#warnings.push(...plan.warnings, ...streamed.warnings);
    return {
      ...(config.name !== undefined && { name: config.name }),
      directory: join(resolve(this.#options.out), place),
      files: streamed.files,
      nonFinite: Object.fromEntries(streamed.nonFinite),
    };
  }

  /** A model of a document: one that was opened, or one that was made by now. */
  async #model({ merge, models }: OpenedMerge, index: number): Promise<Checkpoint> {
    const model = models[index]!;
    if (model instanceof Checkpoint) return model;
    const made = this.#made.get(merge.models[index]!.model.path)!;
    return await openCheckpoint(made, this.#signal ? { signal: this.#signal } : {});
  }

  /** Integer tensors are copied, so that all models must hold the same. */
  async #checkEqual({ opened: { merge }, data }: PreparedDocument): Promise<void> {
    const groups = equalTensors(merge, data);
    this.#progress.start(
      'check',
      groups.reduce((sum, [first, ...rest]) => sum + 2 * rest.length * first!.bytes, 0),
    );
    const inputs = new InputPool(
      data.models.flatMap(({ files }) => files),
      this.#options.readMode,
    );
    const problems: Problem[] = [];
    try {
      for (const [first, ...rest] of groups) {
        for (const other of rest) {
          if (await equalBytes(first!, other, inputs, this.#progress, this.#signal)) continue;
          problems.push({
            code: 'ERR_INTEGER_TENSOR_DIFFERS',
            tensor: other.name,
            file: other.file,
            message: `"${other.name}" (${other.dtype}) differs between the models and cannot be merged`,
            fix: 'Integers are indices or counters: make the tensor equal in all models before merging.',
          });
        }
      }
    } finally {
      await inputs.close();
    }
    if (problems.length > 0) throw incompatible(problems);
  }
}
