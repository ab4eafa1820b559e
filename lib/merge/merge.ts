import { join } from 'node:path';
import { beginCall } from '../call-options.js';
import { finishOutput } from '../checkpoint/finish-output.js';
import { checkSpace } from '../checkpoint/free-space.js';
import { describeInput, type Manifest } from '../checkpoint/manifest.js';
import { renderCard } from '../checkpoint/model-card.js';
import type { WrittenFile } from '../checkpoint/output-writer.js';
import { type ProgressListener, ProgressMeter } from '../checkpoint/progress.js';
import { publishedOptions } from '../checkpoint/published-paths.js';
import { copySidecars } from '../checkpoint/sidecars.js';
import { OutputTransaction } from '../checkpoint/transaction.js';
import { makeDirectory } from '../files/make-directory.js';

import { Engine, engineOptions } from '../native.js';
import { ownCopy } from '../own-copy.js';
import { version } from '../version.js';
import { formatCommand } from './command.js';
import { checkCopiedTensors } from './copied.js';
import type { MergeOptions } from './options.js';
import { type MergePlan, outputDirectories, type PreparedMerge, prepareMerge } from './plan.js';
import { incompatible } from './problems.js';
import { type StreamOutput, streamMerge } from './stream.js';

/** One merged model; JSON-serialisable. */
export interface MergeOutput {
  readonly alpha: number;
  readonly directory: string;
  readonly files: readonly WrittenFile[];
  /** Tensors with NaN or infinite elements in the output, with their number. */
  readonly nonFinite: Readonly<Record<string, number>>;
}

/** What a merge did; JSON-serialisable. */
export interface MergeResult {
  readonly outputs: readonly MergeOutput[];
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly seconds: number;
  readonly device: string;
  readonly warnings: readonly string[];
}

export interface RunOptions {
  /** Stops the merge; nothing is left behind and the promise rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
  readonly onProgress?: ProgressListener;
  /** Called with the plan before any tensor data is read. */
  readonly onPlan?: (plan: MergePlan) => void;
}

/**
 * Interpolates two models: θ_α = θ₀ + α (θ₁ − θ₀) (WiSE-FT, Wortsman et al., 2021), in one streaming pass of
 * bounded memory, with one rounding per element. The output directory appears when it is complete.
 *
 * Rejects with WisemergeError: ERR_INCOMPATIBLE (all problems in `details.problems`), ERR_USAGE,
 * ERR_ALPHA_RANGE, ERR_OUTPUT_*, ERR_NO_SPACE, ERR_INPUT_CHANGED, ERR_IO, ERR_DEVICE_*; or with the abort
 * reason.
 */
export async function merge(options: MergeOptions & RunOptions): Promise<MergeResult> {
  using _call = beginCall(options);
  const { signal, onProgress, onPlan, ...given } = ownCopy(options);
  const began = performance.now();
  const prepared = await prepareMerge(given, signal);
  const { plan } = prepared;
  onPlan?.(plan);
  if (plan.problems.length > 0) throw incompatible(plan.problems);
  checkSpace(options.out, plan.disk);
  const progress = new ProgressMeter(onProgress);
  const engine = new Engine(engineOptions(plan.device, prepared.options.threads));
  try {
    await checkCopiedTensors(prepared, progress, signal);
    const { outputs, notes } = await writeOutputs(prepared, given, engine, progress, signal);
    return {
      outputs,
      bytesRead: plan.bytesRead,
      bytesWritten: plan.bytesWritten,
      seconds: (performance.now() - began) / 1000,
      device: plan.device,
      warnings: [...plan.warnings, ...notes],
    };
  } finally {
    engine.close();
  }
}

async function writeOutputs(
  prepared: PreparedMerge,
  given: MergeOptions,
  engine: Engine,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<{ outputs: MergeOutput[]; notes: readonly string[] }> {
  const { plan, options } = prepared;
  const transaction = await OutputTransaction.begin(
    options.out,
    { kind: 'merge', force: options.force },
    signal,
  );
  try {
    const names = outputDirectories(options);
    const directories = names.map((name) => join(transaction.directory, name));
    for (const directory of directories) await makeDirectory(directory);
    progress.start('stream', plan.bytesRead + plan.bytesWritten);
    const streamed = await streamMerge(prepared, directories, engine, progress, signal);
    progress.start('finish', 0);
    for (const [k, directory] of directories.entries()) {
      signal?.throwIfAborted();
      await writeCompanions(prepared, given, directory, options.alphas[k]!, streamed[k]!);
    }
    signal?.throwIfAborted();
    await transaction.commit();
    return {
      notes: transaction.notes,
      outputs: streamed.map(({ files, nonFinite }, k) => ({
        alpha: options.alphas[k]!,
        directory: plan.directories[k]!,
        files,
        nonFinite: Object.fromEntries(nonFinite),
      })),
    };
  } finally {
    await transaction.rollback();
  }
}

/** Everything of an output but its weights; the manifest last. */
async function writeCompanions(
  { plan, options, zeroshot, finetuned, layout }: PreparedMerge,
  given: MergeOptions,
  directory: string,
  alpha: number,
  { files, nonFinite }: StreamOutput,
): Promise<void> {
  const command = formatCommand(given);
  await copySidecars(zeroshot, plan.sidecars, directory, options.dtype);
  const dtype = options.dtype ?? 'the dtype of the zero-shot model';
  const card = await renderCard({
    ...{ zeroshot, finetuned, alpha, dtype, command: formatCommand(publishedOptions(given)), version },
    ...(options.tensorAlphas && { tensorAlphas: options.tensorAlphas }),
  });
  await finishOutput<Manifest>(
    directory,
    layout,
    { 'README.md': card },
    {
      method: 'wise_ft',
      formula: 'fma(alpha, y - x, x), one rounding',
      alpha,
      ...(options.tensorAlphas && { tensorAlphas: options.tensorAlphas }),
      dtype: options.dtype ?? null,
      device: plan.device,
      command,
      zeroshot: describeInput(given.zeroshot, zeroshot),
      finetuned: describeInput(given.finetuned, finetuned),
      parameters: layout.parameters,
      files: [...files],
      nonFinite: Object.fromEntries(nonFinite),
    },
  );
}
