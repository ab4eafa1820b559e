import { resolve } from 'node:path';
import { beginCall } from '../call-options.js';
import { alignUp, ioAlignment } from '../checkpoint/alignment.js';
import { type DiskSpace, freeBytes } from '../checkpoint/free-space.js';
import { layOutTensors, type OutputLayout } from '../checkpoint/layout.js';
import { listSidecars, type SkippedFile, unmergedWarnings } from '../checkpoint/sidecars.js';
import { elementCount } from '../checkpoint/tensor.js';
import { TextTokenizer } from '../eval/text/tokenizer.js';
import { formatModelReference, modelKey } from '../merge/config/model-reference.js';
import { type Chunks, chooseChunks, loadedBytes } from '../merge/many/chunks.js';
import type { TensorSource } from '../merge/many/model-data.js';
import { ownBytes } from '../merge/many/work.js';
import { checkOutputPath } from '../merge/plan.js';
import { outputProblems, type Problem } from '../merge/problems.js';
import { tokenizerFileNames } from '../merge/tokenizer/tokenizer-file.js';
import { isPrompted } from './config.js';
import { checkMoeOptions, type MoeOptions } from './options.js';
import { type MoeTensor, type ResolvedMoe, resolveMoe } from './resolve.js';
import { sourceDefaults } from './source-defaults.js';

/** What an assembly will do, from headers alone; JSON-serialisable. Sizes in bytes. */
export interface MoePlan {
  readonly out: string;
  /** `model_type` of the output. */
  readonly architecture: string;
  readonly base: string;
  readonly experts: readonly string[];
  readonly shared: readonly string[];
  readonly expertsPerToken: number;
  readonly gateMode: string;
  readonly prompts: number;
  readonly layers: number;
  readonly tensors: number;
  /** All of them, and those that a token goes through. */
  readonly parameters: { readonly total: number; readonly active: number };
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly tensors: number }[];
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly memory: { readonly bytes: number; readonly chunk: number };
  readonly disk: DiskSpace;
  /** Small files copied from the base, and those that are not. */
  readonly sidecars: readonly string[];
  readonly skipped: readonly SkippedFile[];
  readonly configChanges: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
  /** Why `assembleMoe` would refuse the output. */
  readonly problems: readonly Problem[];
}

/** A plan with what carries it out. */
export interface PreparedMoe {
  readonly plan: MoePlan;
  readonly resolved: ResolvedMoe;
  readonly layout: OutputLayout;
  readonly chunks: Chunks;
  /** Of prompts; absent where routers are random. */
  readonly tokenizer: TextTokenizer | undefined;
}

/**
 * Explains a file that describes a mixture of experts: reads it and the headers of its models, touches no tensor data and writes
 * nothing. Throws what `assembleMoe` throws before it starts, but for an output that exists, or has too little space: these are
 * among `problems`.
 */
export async function planMoe(options: MoeOptions & { readonly signal?: AbortSignal }): Promise<MoePlan> {
  using _call = beginCall(options);
  const { signal, ...given } = options;
  const { plan } = await prepareMoe(given, signal);
  const { out, force = false } = given;
  return { ...plan, problems: await outputProblems(out, { kind: 'moe', force }, plan.disk) };
}

export async function prepareMoe(options: MoeOptions, signal?: AbortSignal): Promise<PreparedMoe> {
  checkMoeOptions(options);
  const { readMoeFile } = await import('./read.js');
  const config = await readMoeFile(options.config);
  const resolved = await resolveMoe(config, {
    ...(signal && { signal }),
    ...(options.cache !== undefined && { cache: options.cache }),
  });
  const { base, architecture, tensors, layers, shape } = resolved;
  checkOutputPath(
    options.out,
    [...resolved.models.values()].flatMap(({ inputs }) => inputs).concat({ path: options.config }),
  );
  const prompted = isPrompted(config.gateMode);
  const tokenizer = prompted ? await TextTokenizer.open(base) : undefined;
  const layout = layOutTensors(base, tensors, options.shardSize);
  const sources = tensors.map((tensor) => sourceOf(resolved, tensor));
  const needs = tensors.map(({ name, dtype, shape: dims }, i) => ({
    ...{ name, inputs: 1, row: 0, count: elementCount(dims) },
    // Of those that are drawn or scaled; it costs little to have it for all.
    own: ownBytes({ method: 'noise', row: 1 }, elementCount(dims)),
    tables: 0,
    itemBytes: Math.max(
      loadedBytes(sources[i]?.tensor.dtype ?? 'F32', sources[i]?.addend !== undefined),
      loadedBytes(dtype, false),
    ),
  }));
  const chunks = chooseChunks(needs, 'cpu', options.memory);
  const { copied, skipped } = await listSidecars(base);
  const omitted = (options.copyTokenizer ?? true) ? [] : tokenizerFileNames;
  const files = layout.files.map(({ name, bytes, tensors: own }) => ({ name, bytes, tensors: own.length }));
  const all = [...config.experts, ...config.shared];
  const plan: MoePlan = {
    out: resolve(options.out),
    architecture: architecture.modelType,
    base: formatModelReference(config.base),
    experts: config.experts.map(({ model }) => formatModelReference(model)),
    shared: config.shared.map(({ model }) => formatModelReference(model)),
    expertsPerToken: config.expertsPerToken,
    gateMode: config.gateMode,
    prompts: prompted
      ? all.reduce((sum, { positive, negative }) => sum + positive.length + negative.length, 0)
      : 0,
    layers,
    tensors: tensors.length,
    parameters: { total: layout.parameters, active: activeParameters(resolved) },
    files,
    bytesRead: sources.reduce((sum, source) => sum + (source?.tensor.bytes ?? 0), 0),
    bytesWritten: files.reduce((sum, { bytes }) => sum + bytes, 0),
    memory: { bytes: chunks.memory, chunk: chunks.chunkBytes },
    disk: {
      free: await freeBytes(options.out),
      needed: files.reduce((sum, { bytes }) => sum + alignUp(bytes, ioAlignment), 0),
    },
    sidecars: copied.filter((name) => !omitted.includes(name)),
    skipped,
    configChanges: { ...sourceDefaults(base.config ?? {}), ...architecture.config(shape) },
    warnings: [...resolved.warnings, ...unmergedWarnings(copied)],
    problems: [],
  };
  return { plan, resolved, layout, chunks, tokenizer };
}

/** Where a tensor is read; undefined for routers. */
export function sourceOf({ models, config }: ResolvedMoe, { from }: MoeTensor): TensorSource | undefined {
  if (from.kind === 'router') return undefined;
  const model = from.kind === 'base' ? config.base : from.expert.model;
  return models.get(modelKey(model))!.source(from.tensor);
}

function activeParameters({ tensors, config, shape }: ResolvedMoe): number {
  return tensors.reduce((sum, { from, shape: dims }) => {
    const routed = from.kind === 'expert' && config.experts.includes(from.expert);
    return sum + elementCount(dims) * (routed ? shape.perToken / shape.experts : 1);
  }, 0);
}
