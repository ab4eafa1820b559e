import { realpathSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { beginCall } from '../call-options.js';
import { alignUp, ioAlignment, isElementAligned } from '../checkpoint/alignment.js';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { type DiskSpace, freeBytes } from '../checkpoint/free-space.js';
import type { ReadMode } from '../checkpoint/input-file.js';
import { layOut, type OutputLayout } from '../checkpoint/layout.js';
import { listSidecars, type SkippedFile, unmergedWarnings } from '../checkpoint/sidecars.js';
import { slotBytes } from '../checkpoint/slot-shape.js';
import { ioError, WisemergeError } from '../errors.js';
import { ownCopy } from '../own-copy.js';
import { alphaNames, checkAlphas } from './alpha.js';
import { checkCompatibility, type TensorAlias, type TensorPair } from './compatibility.js';
import { type MergeOptions, type ResolvedOptions, resolveOptions } from './options.js';
import { outputProblems, type Problem, problemOf } from './problems.js';
import { chooseRing, type Ring } from './ring.js';

/** One input in a plan. */
export interface PlannedInput {
  readonly path: string;
  readonly files: number;
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
}

/** What a merge will do, from headers alone; JSON-serialisable. All sizes in bytes. */
export interface MergePlan {
  readonly zeroshot: PlannedInput;
  readonly finetuned: PlannedInput;
  readonly alphas: readonly number[];
  readonly out: string;
  /** One directory per alpha; `out` itself for a single one. */
  readonly directories: readonly string[];
  /** Files of each directory that hold tensors. */
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly tensors: number }[];
  readonly index: string | undefined;
  /** Small files copied from the zero-shot model, and those that are not. */
  readonly sidecars: readonly string[];
  readonly skipped: readonly SkippedFile[];
  readonly tensors: { readonly interpolated: number; readonly copied: number };
  readonly dtypes: Readonly<Record<string, number>>;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly memory: { readonly bytes: number; readonly slots: number; readonly block: number };
  /** Past the page cache, or through it where the inputs mostly are already. Decided again for each file. */
  readonly reads: ReadMode;
  readonly disk: DiskSpace;
  readonly device: string;
  readonly warnings: readonly string[];
  /** Reasons why `merge` would refuse. */
  readonly problems: readonly Problem[];
}

/** A plan with the objects that carry it out. */
export interface PreparedMerge {
  readonly plan: MergePlan;
  readonly options: ResolvedOptions;
  readonly zeroshot: Checkpoint;
  readonly finetuned: Checkpoint;
  readonly pairs: readonly TensorPair[];
  readonly aliases: readonly TensorAlias[];
  readonly layout: OutputLayout;
  readonly ring: Ring;
}

/**
 * Plans a merge: reads headers and configurations, touches no tensor data and writes nothing. Incompatible
 * inputs, alphas outside [0, 1], an output that `merge` would refuse and too little space for it are listed in `problems`; unusable inputs
 * (missing, damaged) and other wrong options throw WisemergeError.
 */
export async function planMerge(options: MergeOptions & { signal?: AbortSignal }): Promise<MergePlan> {
  using _call = beginCall(options);
  const { signal, ...rest } = ownCopy(options);
  const found: Problem[] = [];
  const { plan, options: resolved } = await prepareMerge(rest, signal, (problem) => found.push(problem));
  found.push(...(await outputProblems(resolved.out, { kind: 'merge', force: resolved.force }, plan.disk)));
  return { ...plan, problems: [...found, ...plan.problems] };
}

/** With `report`, alphas out of range and an output over an input are reported, and not thrown. */
export async function prepareMerge(
  given: MergeOptions,
  signal?: AbortSignal,
  report?: (problem: Problem) => void,
): Promise<PreparedMerge> {
  const options = resolveOptions(given);
  const attempt = (check: () => void): void => {
    try {
      check();
    } catch (error) {
      if (!report || !(error instanceof WisemergeError) || error.code === 'ERR_USAGE') throw error;
      report(problemOf(error));
    }
  };
  attempt(() => checkAlphas(options.alphas, options.extrapolate));
  for (const alpha of new Set(Object.values(options.tensorAlphas ?? {}))) {
    attempt(() => checkAlphas([alpha], options.extrapolate));
  }
  const read = signal ? { signal } : {};
  const [zeroshot, finetuned] = await Promise.all([
    openCheckpoint(options.zeroshot, read),
    openCheckpoint(options.finetuned, read),
  ]);
  checkNames(options, zeroshot);
  attempt(() => checkOutputPath(options.out, [zeroshot, finetuned]));
  const { pairs, aliases, problems, warnings } = await checkCompatibility(zeroshot, finetuned, options.dtype);
  const outDtypes = new Map(pairs.map((pair) => [pair.x.name, pair.outDtype]));
  const layout = layOut(zeroshot, (tensor) => outDtypes.get(tensor.name) ?? tensor.dtype, options.shardSize);
  const { copied, skipped } = await listSidecars(zeroshot);
  // A merge from disk to disk is bound by the disk: a device only adds a trip over the bus.
  const device = options.device === 'auto' ? 'cpu' : options.device;
  const ring = await chooseRing({ ...options, device }, pairs, [zeroshot, finetuned]);

  const outputs = options.alphas.length;
  const fileBytes = layout.files.reduce((sum, file) => sum + alignUp(file.bytes, ioAlignment), 0);
  const plan: MergePlan = {
    zeroshot: summarise(zeroshot),
    finetuned: summarise(finetuned),
    alphas: options.alphas,
    out: resolve(options.out),
    directories: outputDirectories(options).map((name) => join(resolve(options.out), name)),
    files: layout.files.map(({ name, bytes, tensors }) => ({ name, bytes, tensors: tensors.length })),
    index: layout.index?.name,
    sidecars: copied,
    skipped,
    tensors: {
      interpolated: pairs.filter(({ action }) => action === 'lerp').length,
      copied: pairs.filter(({ action }) => action !== 'lerp').length,
    },
    dtypes: countDtypes(pairs),
    bytesRead: pairs.reduce((sum, { x, y, action }) => sum + x.bytes + (action === 'lerp' ? y.bytes : 0), 0),
    bytesWritten: outputs * layout.files.reduce((sum, file) => sum + file.bytes, 0),
    memory: { bytes: ring.slots * slotBytes(ring, outputs), slots: ring.slots, block: ring.block },
    reads: ring.reads,
    disk: { free: await freeBytes(options.out), needed: outputs * fileBytes },
    device,
    warnings: [
      ...[...zeroshot.notes, ...finetuned.notes, ...warnings],
      ...[...layoutWarnings(layout), ...unmergedWarnings(copied)],
    ],
    problems,
  };
  return { plan, options, zeroshot, finetuned, pairs, aliases, layout, ring };
}

/** A name that the model does not have is a mistake, or the alphas are another model's. */
function checkNames({ tensorAlphas = {} }: ResolvedOptions, { tensors, path }: Checkpoint): void {
  const unknown = Object.keys(tensorAlphas).find((name) => !tensors.has(name));
  if (unknown === undefined) return;
  throw new WisemergeError(
    'ERR_NO_SUCH_TENSOR',
    `tensorAlphas names ${unknown}, which ${path} does not have`,
    {
      tensor: unknown,
      file: path,
      hint: 'Give alphas of the tensors of these models, as wisemerge inspect lists them.',
    },
  );
}

/** Names of the output directories below `out`; '' for a single alpha. */
export function outputDirectories(options: ResolvedOptions): string[] {
  return options.several ? alphaNames(options.alphas) : [''];
}

function summarise({ path, files, tensors, parameters, bytes }: Checkpoint): PlannedInput {
  return { path, files: files.length, tensors: tensors.size, parameters, bytes };
}

function countDtypes(pairs: readonly TensorPair[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outDtype } of pairs) counts[outDtype] = (counts[outDtype] ?? 0) + 1;
  return counts;
}

function layoutWarnings(layout: OutputLayout): string[] {
  const odd = layout.files.filter((file) => !isElementAligned(file));
  return odd.map(
    ({ name }) => `tensors of ${name} are not aligned to their element size; written through the page cache`,
  );
}

/** Where something lies that is read; a `Checkpoint` says it of itself. */
export interface InputPaths {
  readonly path: string;
  readonly directory?: string | undefined;
  readonly files?: readonly { readonly path: string }[];
}

/**
 * The output must neither be nor hold anything that is read: replacing it would destroy an input. It may lie inside one,
 * where `listSidecars` passes over it.
 */
export function checkOutputPath(out: string, inputs: readonly InputPaths[]): void {
  const target = realPath(resolve(out));
  for (const { path, directory, files = [] } of inputs) {
    const roots = [path, directory, ...files.map((file) => file.path)].filter((root) => root !== undefined);
    if (!roots.some((root) => contains(target, realPath(resolve(root))))) continue;
    throw new WisemergeError('ERR_OUTPUT_IS_INPUT', `the output ${out} is or contains the input ${path}`, {
      file: target,
      hint: 'Give another output directory.',
    });
  }
}

function contains(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : directory + sep);
}

/** The real path of what exists, with what does not exist yet appended. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw ioError(error, 'look for', path);
    const parent = dirname(path);
    return parent === path ? path : join(realPath(parent), path.slice(parent.length));
  }
}
