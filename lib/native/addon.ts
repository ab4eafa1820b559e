// The addon as it is: how it is found, what it exports, and how its errors and jobs become JavaScript's.
import { createRequire } from 'node:module';
import { type ErrorCode, isError, messageOf, WisemergeError } from '../errors.js';
import type { DeviceReport, DTypeInfo, HeaderColumns, TorchColumns } from '../native.js';
import { onAbort } from '../on-abort.js';
import { ownPackage } from '../own-package.js';
import type { Precision } from '../precision.js';

export interface NativeJob<T> {
  readonly promise: Promise<T>;
  cancel(): void;
}

export interface NativeBuffer {
  readonly arrayBuffer: ArrayBuffer;
  release(): void;
}

export interface NativeEngine {
  lerp(arena: NativeBuffer, segments: Float64Array, alphas: Float64Array): NativeJob<Float64Array>;
  compare(arena: NativeBuffer, segments: Float64Array): NativeJob<Float64Array>;
  matmul(arena: NativeBuffer, numbers: Float64Array): NativeJob<void>;
  headPath(arena: NativeBuffer, numbers: Float64Array): NativeJob<void>;
  headCurve(arena: NativeBuffer, numbers: Float64Array): NativeJob<void>;
  headMetrics(arena: NativeBuffer, numbers: Float64Array, alphas: Float64Array): NativeJob<void>;
  headMoments(arena: NativeBuffer, numbers: Float64Array): NativeJob<void>;
  headOutputs(arena: NativeBuffer, numbers: Float64Array): NativeJob<void>;
  combine(arena: NativeBuffer, numbers: Float64Array, weights: Float64Array): NativeJob<number>;
  pin(buffer: NativeBuffer): NativeJob<void>;
  close(): void;
}

export interface NativeStream {
  addOutput(fds: Float64Array, direct: Uint8Array, header: Uint8Array): number;
  run(files: Float64Array, range: Float64Array): NativeJob<Float64Array>;
  finishOutput(output: number): string[];
  close(): void;
}

export interface NativeMergeStream {
  addOutput(fd: number, direct: boolean, header: Uint8Array): number;
  addLowRank(
    rows: number,
    columns: number,
    rank: number,
    scale: number,
    transposed: boolean,
    a: Float32Array,
    b: Float32Array,
  ): number;
  addRowMap(rows: Int32Array, mixEnds: Uint32Array, tables: Uint32Array, tableRows: Uint32Array): number;
  run(tensors: Float64Array, names: readonly string[]): NativeJob<Float64Array>;
  close(): void;
}

export interface NativeLowRank {
  decompose(numbers: Float64Array, seed: number, name: string): NativeJob<Float64Array>;
  close(): void;
}

export interface NativeTrainer {
  train(numbers: Float64Array, rates: Float64Array): NativeJob<Float64Array>;
  evaluate(numbers: Float64Array): NativeJob<Float64Array>;
  store(): NativeJob<Float64Array>;
  close(): void;
}

export interface NativeInference {
  run(numbers: Float64Array): NativeJob<void>;
  close(): void;
}

export interface NativeNetwork {
  run(buffer: NativeBuffer, program: Float64Array, candidates: number, alphas: Float64Array): NativeJob<void>;
  close(): void;
}

export interface Addon {
  readonly HostBuffer: new (bytes: number) => NativeBuffer;
  readonly Engine: new (
    device: string,
    ordinal: number,
    threads: number,
    isa: string,
    precision: Precision,
  ) => NativeEngine;
  readonly BlockStream: new (
    engine: NativeEngine,
    arena: NativeBuffer,
    block: number,
    x: number,
    y: number,
    outputs: number,
    alphas: Float64Array,
  ) => NativeStream;
  readonly MergeStream: new (
    engine: NativeEngine,
    arena: NativeBuffer,
    chunkBytes: number,
    seed: number,
  ) => NativeMergeStream;
  readonly LowRank: new (engine: NativeEngine, arena: NativeBuffer, threads: number) => NativeLowRank;
  readonly Trainer: new (engine: NativeEngine, arena: NativeBuffer, numbers: Float64Array) => NativeTrainer;
  readonly Inference: new (
    engine: NativeEngine,
    arena: NativeBuffer,
    numbers: Float64Array,
  ) => NativeInference;
  readonly Network: new (engine: NativeEngine, weights: NativeBuffer, numbers: Float64Array) => NativeNetwork;
  parseHeader(buffer: NativeBuffer, jsonBytes: number, dataBytes: number): NativeJob<HeaderColumns>;
  parseTorchFile(fd: number, bytes: number): NativeJob<TorchColumns>;
  devices(): DeviceReport[];
  device(kind: string, ordinal: number): DeviceReport;
  dtypes(): DTypeInfo[];
  preallocate(fd: number, bytes: number): NativeJob<boolean>;
  sync(fd: number): NativeJob<void>;
  cachedBytes(fd: number, bytes: number): number | undefined;
  evict(fd: number): void;
  mergeMethods(): string[];
  liveBytes(): number;
  readonly version: string;
  readonly napiVersion: number;
  readonly backendAbi: number;
}

export const addon: Addon = loadAddon();

function loadAddon(): Addon {
  const { root } = ownPackage;
  try {
    const load = createRequire(import.meta.url)('node-gyp-build') as (directory: string) => Addon;
    return load(root);
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}, Node ${process.versions.node}`;
    const forbidden = permissionHint(cause);
    const remedy =
      forbidden ??
      `looked for build/Release/*.node and prebuilds/${process.platform}-${process.arch}/*.node in ${root}\n` +
        'build it there with: npm run build:addon (needs Python 3, make and a C++20 compiler)';
    throw new WisemergeError(
      'ERR_ADDON_NOT_FOUND',
      `wisemerge's native addon could not be loaded on ${platform}: ${messageOf(cause)}\n${remedy}`,
      { cause, hint: forbidden ?? 'npm run build:addon' },
    );
  }
}

/** What the process was started without, where that is why the addon is not loaded. */
function permissionHint(cause: unknown): string | undefined {
  const { code, resource } = cause as { code?: unknown; resource?: unknown };
  if (code === 'ERR_DLOPEN_DISABLED')
    return 'Start Node without --no-addons and, where it is started with --permission, with --allow-addons.';
  if (code === 'ERR_ACCESS_DENIED') return `Start Node with --allow-fs-read=${resource}, too.`;
  return undefined;
}

// An addon's error: same code, but with a stack that leads to the caller.
function translate(error: unknown): unknown {
  if (!isError(error) || !('code' in error) || typeof error.code !== 'string') return error;
  if (!error.code.startsWith('ERR_')) return error;
  const about =
    'fd' in error && 'operation' in error ? { fd: error.fd, operation: error.operation } : undefined;
  return new WisemergeError(error.code as ErrorCode, error.message, about && { details: about });
}

/** Calls the addon; its errors become WisemergeErrors. */
export function call<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw translate(error);
  }
}

/** Starts a job and waits for its end; an abort cancels it and rejects with the signal's reason. */
export async function run<T>(start: () => NativeJob<T>, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted();
  const job = call(start);
  const settled = onAbort(signal, () => job.cancel());
  try {
    return await job.promise;
  } catch (error) {
    signal?.throwIfAborted();
    throw translate(error);
  } finally {
    settled();
  }
}
