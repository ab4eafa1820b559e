import { join, resolve } from 'node:path';
import { alignUp, ioAlignment } from '../../checkpoint/blocks.js';
import { Checkpoint } from '../../checkpoint/checkpoint.js';
import { layOutTensors, type OutputLayout } from '../../checkpoint/layout.js';
import { listSidecars } from '../../checkpoint/sidecars.js';
import { type Explanation, explainMerge } from '../config/explain.js';
import { type OpenedMerge, openMergeFile } from '../config/open.js';
import { checkOutputPath, freeBytes } from '../plan.js';
import { type Chunks, chooseChunks } from './chunks.js';
import { ModelData } from './model-data.js';
import { checkMergeFileOptions, type MergeFileOptions } from './options.js';
import type { TensorWork } from './tensor-stream.js';
import { chunkNeed, inputBytes, type MergeData, tensorWork } from './work.js';

/** What one document of a merge file will do, from headers alone; JSON-serialisable. Sizes in bytes. */
export interface DocumentPlan {
  readonly name?: string;
  readonly directory: string;
  readonly explanation: Explanation;
  /** Files that hold tensors; unknown (and so are sizes) where an earlier document's result is an input. */
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly tensors: number }[];
  /** Of one pass over the inputs; methods that need a threshold or norms read large tensors again. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly memory: { readonly bytes: number; readonly chunk: number };
  readonly sidecars: readonly string[];
}

export interface MergeFilePlan {
  readonly out: string;
  readonly documents: readonly DocumentPlan[];
  readonly disk: { readonly free: number; readonly needed: number };
  readonly device: string;
  readonly warnings: readonly string[];
}

/** A document with what carries it out. */
export interface PreparedDocument {
  readonly opened: OpenedMerge;
  readonly directory: string;
  readonly data: MergeData;
  readonly work: ReadonlyMap<string, TensorWork>;
  readonly layout: OutputLayout;
  readonly chunks: Chunks;
  readonly plan: DocumentPlan;
}

/**
 * Explains a merge file: reads it and the headers of its models, touches no tensor data and writes nothing. Throws
 * what `mergeFile` throws before it starts.
 */
export async function planMergeFile(
  options: MergeFileOptions & { readonly signal?: AbortSignal },
): Promise<MergeFilePlan> {
  const { signal, ...given } = options;
  checkMergeFileOptions(given);
  const merges = await openMergeFile(given.config, signal ? { signal } : {});
  const device = chosenDevice(given);
  const documents: DocumentPlan[] = [];
  for (const opened of merges) {
    const directory = documentDirectory(opened, merges, given.out);
    const whole = opened.models.every((model) => model instanceof Checkpoint);
    if (whole)
      documents.push((await prepareDocument(opened, opened.models as Checkpoint[], directory, given)).plan);
    else {
      documents.push({
        ...named(opened),
        directory,
        explanation: explainMerge(opened.merge),
        files: [],
        bytesRead: 0,
        bytesWritten: 0,
        memory: { bytes: 0, chunk: 0 },
        sidecars: [],
      });
    }
  }
  return {
    out: resolve(given.out),
    documents,
    disk: { free: await freeBytes(given.out), needed: neededBytes(documents) },
    device,
    warnings: merges.flatMap(({ merge }) => merge.warnings),
  };
}

export function neededBytes(documents: readonly DocumentPlan[]): number {
  const files = documents.flatMap((document) => document.files);
  return files.reduce((sum, { bytes }) => sum + alignUp(bytes, ioAlignment), 0);
}

/** A merge from disk to disk is bound by the disk: a device only adds a trip over the bus. */
export function chosenDevice({ device = 'auto' }: MergeFileOptions): string {
  return device === 'auto' ? 'cpu' : device;
}

const named = ({ config }: OpenedMerge): { name?: string } =>
  config.name === undefined ? {} : { name: config.name };

/** `out` itself for the only document. */
export function documentDirectory({ config }: OpenedMerge, all: readonly OpenedMerge[], out: string): string {
  return all.length === 1 ? resolve(out) : join(resolve(out), config.name ?? 'final');
}

/** `models`: those of the merge, in its order, all of them checkpoints by now. */
export async function prepareDocument(
  opened: OpenedMerge,
  models: readonly Checkpoint[],
  directory: string,
  options: MergeFileOptions,
): Promise<PreparedDocument> {
  const { merge } = opened;
  checkOutputPath(options.out, models);
  const data: MergeData = {
    models: await Promise.all(merge.models.map((reference, i) => ModelData.open(reference, models[i]))),
    statistics: await Promise.all(
      merge.statistics.map((reference, i) => ModelData.open(reference, opened.statistics[i] as Checkpoint)),
    ),
  };
  const work = new Map(merge.tensors.map((tensor) => [tensor.name, tensorWork(tensor, data)]));
  const donor = models[merge.donor]!;
  const layout = layOutTensors(donor, merge.tensors, options.shardSize);
  const needs = merge.tensors.map(({ name, dtype }) => chunkNeed(work.get(name)!, dtype));
  const chunks = chooseChunks(needs, chosenDevice(options), options.memory);
  const { copied } = await listSidecars(donor);
  const plan: DocumentPlan = {
    ...named(opened),
    directory,
    explanation: explainMerge(merge),
    files: layout.files.map(({ name, bytes, tensors }) => ({ name, bytes, tensors: tensors.length })),
    bytesRead: inputBytes(work.values()),
    bytesWritten: layout.files.reduce((sum, { bytes }) => sum + bytes, 0),
    memory: { bytes: chunks.memory, chunk: chunks.chunkBytes },
    sidecars: copied,
  };
  return { opened, directory, data, work, layout, chunks, plan };
}
