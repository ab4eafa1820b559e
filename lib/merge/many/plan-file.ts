import { basename, join, resolve } from 'node:path';
import { beginCall, failOption } from '../../call-options.js';
import { alignUp, ioAlignment } from '../../checkpoint/alignment.js';
import { Checkpoint } from '../../checkpoint/checkpoint.js';
import { type DiskSpace, freeBytes } from '../../checkpoint/free-space.js';
import { layOutTensors, type OutputLayout } from '../../checkpoint/layout.js';
import type { SkippedFile } from '../../checkpoint/sidecars.js';
import { elementCount, itemSize } from '../../checkpoint/tensor.js';
import { unnamedDocument } from '../config/documents.js';
import { type Explanation, explainMerge } from '../config/explain.js';
import { localPath } from '../config/model-reference.js';
import { type OpenedMerge, openMergeFile } from '../config/open.js';
import { openLoraAdapter } from '../lora/adapter.js';
import { flag } from '../option-checks.js';
import { checkOutputPath, type InputPaths } from '../plan.js';
import { outputProblems, type Problem } from '../problems.js';
import { type Chunks, chooseChunks } from './chunks.js';
import { type Companions, planCompanions } from './companions.js';
import { checkCompat, compatWarning } from './compat.js';
import { estimateTime, type TimeEstimate } from './estimate.js';
import { ModelData } from './model-data.js';
import { checkMergeFileOptions, type PlanFileOptions } from './options.js';
import { type Rereading, rereading } from './sweeps.js';
import { chunkNeed, inputBytes, type MergeData, mergeWork, type TensorWork } from './work.js';
import { mergeFileName } from './write-records.js';

/** What one document of a merge file will do, from headers alone; JSON-serialisable. Sizes in bytes. */
export interface DocumentPlan {
  readonly name?: string;
  /** Where it goes, if an output was given. */
  readonly directory?: string;
  readonly explanation: Explanation;
  /** Files that hold tensors; not known yet where an earlier document's result is an input. */
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly tensors: number }[];
  /** Of one pass over the inputs. */
  readonly bytesRead: number;
  /** What methods of several passes read again, of tensors that do not fit the buffers. */
  readonly rereading: Rereading;
  readonly bytesWritten: number;
  readonly memory: { readonly bytes: number; readonly chunk: number };
  /** Small files copied from the donor, and those that are not. */
  readonly sidecars: readonly string[];
  readonly skipped: readonly SkippedFile[];
  /** Files of the output's tokenizer that are written anew or come from elsewhere than the donor. */
  readonly tokenizer: readonly string[];
  readonly warnings: readonly string[];
}

export interface MergeFilePlan {
  readonly out?: string;
  readonly documents: readonly DocumentPlan[];
  /** Of the output's file system, if an output was given. */
  readonly disk?: DiskSpace;
  readonly device: string;
  readonly estimate?: TimeEstimate;
  readonly warnings: readonly string[];
  /** Why `mergeFile` would refuse the output, if one was given. */
  readonly problems: readonly Problem[];
}

/** A document with what carries it out. */
export interface PreparedDocument {
  readonly opened: OpenedMerge;
  readonly models: readonly Checkpoint[];
  readonly data: MergeData;
  readonly work: ReadonlyMap<string, TensorWork>;
  readonly layout: OutputLayout;
  readonly chunks: Chunks;
  readonly companions: Companions;
  readonly plan: DocumentPlan;
}

/**
 * Explains a merge file: reads it and the headers of its models, and writes nothing. With `estimate`, up to 64 MiB of
 * the largest input are read to tell how long the merge will take. Throws what `mergeFile` throws before it starts, but for
 * an output that exists, or has too little space: these are among `problems`.
 */
export async function planMergeFile(
  options: PlanFileOptions & { readonly estimate?: boolean; readonly signal?: AbortSignal },
): Promise<MergeFilePlan> {
  using _call = beginCall(options);
  const { signal, estimate: wanted = false, ...given } = options;
  checkMergeFileOptions(given, ['config']);
  const why = flag(wanted);
  if (why !== undefined) failOption('estimate', why);
  const { merges, plans } = await planDocuments(given, signal);
  const models = merges.flatMap(({ models: all, statistics }) => [...all, ...statistics]);
  const files = models.flatMap((model) => (model instanceof Checkpoint ? model.files : []));
  const estimate = wanted ? await estimateTime(plans, files, signal) : undefined;
  const { out, force = false } = given;
  const disk = out === undefined ? undefined : await diskSpace(out, plans);
  return {
    ...(out !== undefined && { out: resolve(out) }),
    ...(disk && { disk }),
    documents: plans,
    device: chosenDevice(given),
    ...(estimate && { estimate }),
    warnings: plans.flatMap(({ warnings }) => warnings),
    problems: out === undefined || !disk ? [] : await outputProblems(out, { kind: 'merge', force }, disk),
  };
}

/** Everything that headers can tell of all documents. */
export async function planDocuments(
  options: PlanFileOptions,
  signal: AbortSignal | undefined,
): Promise<{ merges: readonly OpenedMerge[]; plans: readonly DocumentPlan[] }> {
  const { config, cache, compat } = options;
  const merges = await openMergeFile(config, {
    ...(signal && { signal }),
    ...(cache !== undefined && { cache }),
  });
  if (compat) for (const opened of merges) checkCompat(opened.config);
  const plans: DocumentPlan[] = [];
  for (const opened of merges) {
    const whole = opened.models.every((model) => model instanceof Checkpoint);
    const several = merges.length > 1;
    plans.push(
      whole
        ? (await prepareDocument(opened, opened.models as Checkpoint[], several, options)).plan
        : await foresee(opened, several, options),
    );
  }
  return { merges, plans };
}

/** Of all documents together. */
export async function diskSpace(out: string, documents: readonly DocumentPlan[]): Promise<DiskSpace> {
  const needed = documents.reduce((sum, { files, bytesWritten }) => {
    const sizes = files.length > 0 ? files.map(({ bytes }) => bytes) : [bytesWritten];
    return sizes.reduce((total, bytes) => total + alignUp(bytes, ioAlignment), sum);
  }, 0);
  return { free: await freeBytes(out), needed };
}

/** A merge from disk to disk is bound by the disk: a device only adds a trip over the bus. */
export function chosenDevice({ device = 'auto' }: PlanFileOptions): string {
  return device === 'auto' ? 'cpu' : device;
}

/** Below the output, where it has `several` documents; else the output itself. */
export function documentDirectory({ config }: OpenedMerge, several: boolean): string {
  return several ? (config.name ?? unnamedDocument) : '.';
}

/** The output must not take the place of what a document reads: `models`, the tokenizer, the merge file. */
function checkInputs(
  { merge: { tokenizer } }: OpenedMerge,
  models: readonly InputPaths[],
  { out, config, cache }: PlanFileOptions,
): void {
  if (out === undefined) return;
  const inputs = [...models];
  if (typeof tokenizer?.source === 'object' && !tokenizer.source.document) {
    inputs.push({ path: localPath(tokenizer.source.model, cache) });
  }
  // An output has its merge file, so that it can be made again in its own place.
  if (basename(config) !== mergeFileName) inputs.push({ path: config });
  checkOutputPath(out, inputs);
}

/** What a plan says of a document, whatever its models. */
function describe(
  opened: OpenedMerge,
  several: boolean,
  { out, compat }: PlanFileOptions,
): Pick<DocumentPlan, 'name' | 'directory' | 'explanation'> & { readonly warnings: string[] } {
  const { name } = opened.config;
  return {
    ...(name !== undefined && { name }),
    ...(out !== undefined && { directory: join(resolve(out), documentDirectory(opened, several)) }),
    explanation: explainMerge(opened.merge),
    warnings: [...opened.merge.warnings, ...(compat ? [compatWarning] : [])],
  };
}

/** `models`: those of the merge, in its order, all of them checkpoints by now. */
export async function prepareDocument(
  opened: OpenedMerge,
  models: readonly Checkpoint[],
  several: boolean,
  options: PlanFileOptions,
): Promise<PreparedDocument> {
  const { merge, vocabulary } = opened;
  const statistics = opened.statistics as readonly Checkpoint[];
  const { cache } = options;
  const data: MergeData = {
    models: await Promise.all(merge.models.map((one, i) => ModelData.open(one, models[i], { cache }))),
    statistics: await Promise.all(
      merge.statistics.map((one, i) => ModelData.open(one, statistics[i], { cache })),
    ),
  };
  checkInputs(
    opened,
    [...data.models, ...data.statistics].flatMap(({ inputs }) => inputs),
    options,
  );
  const work = mergeWork(merge, data, vocabulary, options.compat !== undefined);
  const layout = layOutTensors(models[merge.donor]!, merge.tensors, options.shardSize);
  const needs = merge.tensors.map(({ name, dtype }) => chunkNeed(work.get(name)!, dtype));
  const chunks = chooseChunks(needs, chosenDevice(options), options.memory);
  const companions = await planCompanions(opened, models, options);
  const described = describe(opened, several, options);
  const plan: DocumentPlan = {
    ...described,
    files: layout.files.map(({ name, bytes, tensors }) => ({ name, bytes, tensors: tensors.length })),
    bytesRead: [...work.values()].reduce((sum, one) => sum + inputBytes(one), 0),
    rereading: rereading(
      merge.tensors.map(({ name, dtype }) => [work.get(name)!, dtype] as const),
      chunks,
      inputBytes,
    ),
    bytesWritten: layout.files.reduce((sum, { bytes }) => sum + bytes, 0),
    memory: { bytes: chunks.memory, chunk: chunks.chunkBytes },
    sidecars: companions.copied,
    skipped: companions.skipped,
    tokenizer: companions.tokenizerNames,
    warnings: [...described.warnings, ...companions.warnings],
  };
  return { opened, models, data, work, layout, chunks, companions, plan };
}

/** A document whose models are not all there yet: sizes follow from shapes. */
async function foresee(
  opened: OpenedMerge,
  several: boolean,
  options: PlanFileOptions,
): Promise<DocumentPlan> {
  const { merge, models, statistics } = opened;
  const inputs: InputPaths[] = [...models, ...statistics].filter((model) => model instanceof Checkpoint);
  for (const [i, { lora }] of merge.models.entries()) {
    // Its tensors must fit those of the model to come.
    if (lora) inputs.push(await openLoraAdapter(localPath(lora, options.cache), models[i]!.tensors));
  }
  checkInputs(opened, inputs, options);
  const bytesOf = (shape: readonly number[], dtype: Parameters<typeof itemSize>[0]): number =>
    elementCount(shape) * itemSize(dtype);
  let [bytesRead, bytesWritten] = [0, 0];
  for (const { inputs, base, shape, dtype } of merge.tensors) {
    bytesWritten += bytesOf(shape, dtype);
    for (const { model, tensor } of [...inputs, ...(base ? [base] : [])]) {
      bytesRead += bytesOf(shape, models[model]!.tensors.get(tensor)!.dtype);
    }
  }
  return {
    ...describe(opened, several, options),
    files: [],
    bytesRead,
    rereading: { tensors: 0, bytes: 0, memory: 0 },
    bytesWritten,
    memory: { bytes: 0, chunk: 0 },
    sidecars: [],
    skipped: [],
    tokenizer: [],
  };
}
