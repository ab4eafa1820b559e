import { realpathSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { alignUp, ioAlignment, isElementAligned, type SlotShape, slotShape } from '../checkpoint/blocks.js';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { layOut, type OutputLayout } from '../checkpoint/layout.js';
import { defaultSlots, slotBytes } from '../checkpoint/pipeline.js';
import { listSidecars, type SkippedFile } from '../checkpoint/sidecars.js';
import { itemSize } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { alphaNames, checkAlphas } from './alpha.js';
import { checkCompatibility, type TensorPair } from './compatibility.js';
import { defaultMemory, type MergeOptions, type ResolvedOptions, resolveOptions } from './options.js';
import type { Problem } from './problems.js';

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
  readonly disk: { readonly free: number; readonly needed: number };
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
  readonly layout: OutputLayout;
  readonly shape: SlotShape & { readonly slots: number };
}

/**
 * Plans a merge: reads headers and configurations, touches no tensor data and writes nothing. Incompatible
 * inputs are listed in `problems`; unusable ones (missing, damaged) and wrong options throw WisemergeError.
 */
export async function planMerge(options: MergeOptions & { signal?: AbortSignal }): Promise<MergePlan> {
  const { signal, ...rest } = options;
  return (await prepareMerge(rest, signal)).plan;
}

export async function prepareMerge(given: MergeOptions, signal?: AbortSignal): Promise<PreparedMerge> {
  const options = resolveOptions(given);
  checkAlphas(options.alphas, options.extrapolate);
  const read = signal ? { signal } : {};
  const [zeroshot, finetuned] = await Promise.all([
    openCheckpoint(options.zeroshot, read),
    openCheckpoint(options.finetuned, read),
  ]);
  checkOutputPath(options.out, [zeroshot, finetuned]);
  const { pairs, problems, warnings } = await checkCompatibility(zeroshot, finetuned, options.dtype);
  const outDtypes = new Map(pairs.map((pair) => [pair.x.name, pair.outDtype]));
  const layout = layOut(zeroshot, (tensor) => outDtypes.get(tensor.name) ?? tensor.dtype, options.shardSize);
  const { copied, skipped } = await listSidecars(zeroshot);
  const shape = fitMemory(options, pairs, given.memory !== undefined);

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
      copied: pairs.filter(({ action }) => action === 'copy').length,
    },
    dtypes: countDtypes(pairs),
    bytesRead: pairs.reduce((sum, { x, y, action }) => sum + x.bytes + (action === 'lerp' ? y.bytes : 0), 0),
    bytesWritten: outputs * layout.files.reduce((sum, file) => sum + file.bytes, 0),
    memory: { bytes: shape.slots * slotBytes(shape, outputs), slots: shape.slots, block: shape.block },
    disk: { free: await freeBytes(options.out), needed: outputs * fileBytes },
    // A merge from disk to disk is bound by the disk: a device only adds a trip over the bus.
    device: options.device === 'auto' ? 'cpu' : options.device,
    warnings: [...warnings, ...layoutWarnings(layout)],
    problems,
  };
  return { plan, options, zeroshot, finetuned, pairs, layout, shape };
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

/** The output must not be, hold or lie inside an input: replacing it would destroy what is being read. */
function checkOutputPath(out: string, inputs: readonly Checkpoint[]): void {
  const target = realPath(resolve(out));
  for (const { path, directory, files } of inputs) {
    const roots = [path, directory, ...files.map((file) => file.path)].filter((root) => root !== undefined);
    if (!roots.some((root) => contains(target, realPath(root)))) continue;
    throw new WisemergeError('ERR_OUTPUT_IS_INPUT', `the output ${out} is or contains the input ${path}`, {
      file: target,
      hint: 'Give another --out.',
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
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(realPath(parent), path.slice(parent.length));
  }
}

const minBlock = 256 * 1024;
const maxBlock = 8 * 2 ** 20;
const blockStep = 64 * 1024;

/**
 * Chooses slots and block size for the memory budget. A default budget grows where many alphas need it; a
 * given one that is too small is an error.
 */
function fitMemory(
  options: ResolvedOptions,
  pairs: readonly TensorPair[],
  given: boolean,
): SlotShape & { readonly slots: number } {
  const ratio = pairs.reduce(
    (max, { x, y, outDtype }) =>
      Math.max(max, itemSize(x.dtype) / itemSize(outDtype), itemSize(y.dtype) / itemSize(outDtype)),
    1,
  );
  const outputs = options.alphas.length;
  const minimum = 2 * slotBytes(slotShape(minBlock, ratio), outputs);
  if (given && options.memory < minimum) {
    throw new WisemergeError(
      'ERR_MEMORY',
      `memory of ${options.memory} bytes is too small; this merge needs ${minimum}`,
      {
        hint: 'Raise --memory, or merge fewer alphas at once.',
      },
    );
  }
  const budget = Math.max(given ? options.memory : defaultMemory, minimum);
  for (let slots = defaultSlots; ; slots--) {
    const perByte = slotBytes(slotShape(minBlock, ratio), outputs) / minBlock;
    const block = Math.min(maxBlock, Math.floor(budget / slots / perByte / blockStep) * blockStep);
    if (block >= minBlock || slots === 2) return { ...slotShape(Math.max(block, minBlock), ratio), slots };
  }
}

async function freeBytes(path: string): Promise<number> {
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (error) {
      if (dirname(at) === at) throw error;
    }
  }
}
