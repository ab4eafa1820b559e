import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { InputPool } from '../../checkpoint/input-pool.js';
import { describeInput, type ManifestInput, type OutputManifest } from '../../checkpoint/manifest.js';
import { renderMergeCard } from '../../checkpoint/model-card.js';
import type { WrittenFile } from '../../checkpoint/output-writer.js';
import { ProgressMeter } from '../../checkpoint/progress.js';
import { copySidecars } from '../../checkpoint/sidecars.js';
import { manifestName, OutputTransaction } from '../../checkpoint/transaction.js';
import { ioError, WisemergeError } from '../../errors.js';
import { Engine, engineOptions } from '../../native.js';
import { version } from '../../version.js';
import { quote } from '../command.js';
import { type OpenedMerge, openMergeFile } from '../config/open.js';
import { equalBytes } from '../copied.js';
import type { RunOptions } from '../merge.js';
import { freeBytes } from '../plan.js';
import { incompatible, type Problem } from '../problems.js';
import { checkMergeFileOptions, type MergeFileOptions } from './options.js';
import {
  chosenDevice,
  type DocumentPlan,
  documentDirectory,
  neededBytes,
  type PreparedDocument,
  prepareDocument,
} from './plan-file.js';
import { type StreamedFiles, streamTensors } from './tensor-stream.js';
import { equalTensors } from './work.js';

/** One model that a merge file made; JSON-serialisable. */
export interface DocumentResult {
  readonly name?: string;
  readonly directory: string;
  readonly files: readonly WrittenFile[];
  /** Tensors with NaN or infinite elements in the output, with their number. */
  readonly nonFinite: Readonly<Record<string, number>>;
}

export interface MergeFileResult {
  readonly documents: readonly DocumentResult[];
  readonly bytesWritten: number;
  readonly seconds: number;
  readonly device: string;
  readonly warnings: readonly string[];
}

/** Of a model made by a merge file. */
export interface MergeFileManifest extends Omit<OutputManifest, 'zeroshot' | 'formula'> {
  readonly models: readonly ManifestInput[];
  readonly seed: number;
  /** The merge file as it was. */
  readonly config: string;
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
 * ERR_MERGE, ERR_USAGE, ERR_OUTPUT_*, ERR_NO_SPACE, ERR_MEMORY, ERR_INPUT_CHANGED, ERR_IO, ERR_DEVICE_*; or with the
 * abort reason.
 */
export async function mergeFile(options: MergeFileOptions & MergeFileRunOptions): Promise<MergeFileResult> {
  const { signal, onProgress, onPlan, ...given } = options;
  signal?.throwIfAborted();
  checkMergeFileOptions(given);
  const began = performance.now();
  const merges = await openMergeFile(given.config, signal ? { signal } : {});
  const source = await readFile(given.config, 'utf8').catch((error) => {
    throw ioError(error, 'read', given.config);
  });
  // Everything that headers can tell, before anything is written.
  for (const opened of merges) {
    if (!opened.models.every((model) => model instanceof Checkpoint)) continue;
    const directory = documentDirectory(opened, merges, given.out);
    const { plan } = await prepareDocument(opened, opened.models as Checkpoint[], directory, given);
    await checkSpace(given.out, [plan]);
  }
  const run = new MergeFileRun(merges, given, source, new ProgressMeter(onProgress), onPlan, signal);
  return await run.run(began);
}

class MergeFileRun {
  readonly #merges: readonly OpenedMerge[];
  readonly #options: MergeFileOptions;
  readonly #source: string;
  readonly #progress: ProgressMeter;
  readonly #onPlan: MergeFileRunOptions['onPlan'];
  readonly #signal: AbortSignal | undefined;
  readonly #device: string;
  readonly #warnings: string[] = [];
  /** Models that earlier documents made, by name. */
  readonly #made = new Map<string, string>();

  constructor(
    merges: readonly OpenedMerge[],
    options: MergeFileOptions,
    source: string,
    progress: ProgressMeter,
    onPlan: MergeFileRunOptions['onPlan'],
    signal: AbortSignal | undefined,
  ) {
    this.#merges = merges;
    this.#options = options;
    this.#source = source;
    this.#progress = progress;
    this.#onPlan = onPlan;
    this.#signal = signal;
    this.#device = chosenDevice(options);
  }

  async run(began: number): Promise<MergeFileResult> {
    const { out, force = false, threads } = this.#options;
    const engine = new Engine(engineOptions(this.#device, threads));
    try {
      const transaction = await OutputTransaction.begin(out, { force });
      try {
        if (transaction.cleared) {
          this.#warnings.push(`removed ${transaction.cleared}, left by a run that was killed`);
        }
        const documents: DocumentResult[] = [];
        for (const opened of this.#merges) {
          documents.push(await this.#document(opened, transaction.directory, engine));
        }
        if (this.#merges.length > 1) await this.#writeOverall(transaction.directory, documents);
        this.#signal?.throwIfAborted();
        await transaction.commit();
        const written = documents.flatMap(({ files }) => files).reduce((sum, { bytes }) => sum + bytes, 0);
        return {
          documents,
          bytesWritten: written,
          seconds: (performance.now() - began) / 1000,
          device: this.#device,
          warnings: this.#warnings,
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
    const target = documentDirectory(opened, this.#merges, this.#options.out);
    const directory = join(root, relative(this.#options.out, target) || '.');
    const models = await Promise.all(
      merge.models.map(async ({ model, document }, i) => {
        if (!document) return opened.models[i] as Checkpoint;
        return await openCheckpoint(this.#made.get(model.path)!, signal ? { signal } : {});
      }),
    );
    const prepared = await prepareDocument(opened, models, target, this.#options);
    this.#onPlan?.(prepared.plan);
    await checkSpace(this.#options.out, [prepared.plan]);
    await mkdir(directory, { recursive: true });
    await this.#checkEqual(prepared);
    const { plan, layout, work, data, chunks } = prepared;
    this.#progress.start('stream', plan.bytesRead + plan.bytesWritten);
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
    await this.#writeCompanions(prepared, models, directory, streamed);
    if (config.name !== undefined) this.#made.set(config.name, directory);
    this.#warnings.push(...merge.warnings, ...streamed.warnings);
    return {
      ...(config.name !== undefined && { name: config.name }),
      directory: target,
      files: streamed.files,
      nonFinite: Object.fromEntries(streamed.nonFinite),
    };
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
          this.#signal?.throwIfAborted();
          if (await equalBytes(first!, other, inputs, this.#progress)) continue;
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

  /** Everything of an output but its weights; the manifest last. */
  async #writeCompanions(
    { opened, plan, layout }: PreparedDocument,
    models: readonly Checkpoint[],
    directory: string,
    { files, nonFinite }: StreamedFiles,
  ): Promise<void> {
    const { merge } = opened;
    const donor = models[merge.donor]!;
    const dtype = merge.outDtype ?? merge.dtype;
    await copySidecars(donor, plan.sidecars, directory, dtype, merge.configChanges);
    const command = formatMergeFileCommand(this.#options);
    const manifest: MergeFileManifest = {
      wisemerge: version,
      node: process.version,
      method: merge.method,
      dtype: dtype ?? null,
      device: this.#device,
      command,
      models: models.map((model, i) => describeInput(merge.models[i]!.model.path, model)),
      seed: this.#options.seed ?? 0,
      config: this.#source,
      parameters: layout.parameters,
      files,
      nonFinite: Object.fromEntries(nonFinite),
    };
    const card = await renderMergeCard({
      models,
      donor,
      method: merge.method,
      config: this.#source,
      command,
      version,
    });
    const texts: [string, string][] = [
      ...(layout.index ? [[layout.index.name, layout.index.text] as [string, string]] : []),
      ['README.md', card],
      ['mergekit_config.yml', this.#source],
      [manifestName, `${JSON.stringify(manifest, null, 2)}\n`],
    ];
    await writeTexts(directory, texts);
  }

  /** Several models lie below one directory, which names them. */
  async #writeOverall(directory: string, documents: readonly DocumentResult[]): Promise<void> {
    const overall = {
      wisemerge: version,
      command: formatMergeFileCommand(this.#options),
      models: documents.map(({ directory: path }) => basename(path)),
    };
    await writeTexts(directory, [[manifestName, `${JSON.stringify(overall, null, 2)}\n`]]);
  }
}

async function writeTexts(directory: string, texts: readonly [string, string][]): Promise<void> {
  for (const [name, content] of texts) {
    const path = join(directory, name);
    await writeFile(path, content).catch((error) => {
      throw ioError(error, 'write', path);
    });
  }
}

async function checkSpace(out: string, plans: readonly DocumentPlan[]): Promise<void> {
  const [needed, free] = [neededBytes(plans), await freeBytes(out)];
  if (needed <= free) return;
  throw new WisemergeError('ERR_NO_SPACE', `the output needs ${needed} bytes; ${free} are free`, {
    file: out,
    hint: 'Free disk space, or give another directory.',
  });
}

/** The command line that does what `options` say, quoted for a POSIX shell. */
export function formatMergeFileCommand(options: MergeFileOptions): string {
  const { config, out, seed, device, threads, memory, shardSize } = options;
  const flags: [string, string | number | undefined][] = [
    ['seed', seed],
    ['device', device === 'auto' ? undefined : device],
    ['threads', threads],
    ['memory', memory],
    ['shard-size', shardSize],
  ];
  const words = flags.flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, quote(String(value))],
  );
  return ['wisemerge merge', quote(config), quote(out), ...words].join(' ');
}
