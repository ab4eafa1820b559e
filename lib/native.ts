/**
 * The typed face of the native addon, and the only user of what it exports.
 *
 * Long work runs on the addon's own thread, in the order it was started; the promises here settle when it has
 * let go of the memory it was given.
 */
import { constants } from 'node:buffer';
import { WisemergeError } from './errors.js';
import { addon, call, type NativeBuffer, type NativeEngine, run } from './native/addon.js';
import type { Precision } from './precision.js';

/** The dtypes of the safetensors format. */
export type DTypeName =
  | 'BOOL'
  | 'F4'
  | 'F6_E2M3'
  | 'F6_E3M2'
  | 'U8'
  | 'I8'
  | 'F8_E5M2'
  | 'F8_E4M3'
  | 'F8_E8M0'
  | 'F8_E4M3FNUZ'
  | 'F8_E5M2FNUZ'
  | 'I16'
  | 'U16'
  | 'F16'
  | 'BF16'
  | 'I32'
  | 'U32'
  | 'F32'
  | 'C64'
  | 'F64'
  | 'I64'
  | 'U64';

export interface DTypeInfo {
  readonly name: DTypeName;
  /** The number that stands for it in segments and header columns. */
  readonly index: number;
  /** Bits per element. */
  readonly bits: number;
  /** Only `float` dtypes can be interpolated and compared. */
  readonly kind: 'boolean' | 'integer' | 'float' | 'complex' | 'packed';
}

/** A parsed safetensors header, as columns: tensors in ascending order of their data. */
export interface HeaderColumns {
  readonly count: number;
  readonly names: string[];
  /** `DTypeInfo.index` of each tensor. */
  readonly dtypes: Uint8Array;
  /** All shapes, concatenated. */
  readonly dims: Float64Array;
  /** Where each tensor's shape ends in `dims`. */
  readonly dimEnds: Uint32Array;
  /** Byte offsets from the end of the header. */
  readonly begins: Float64Array;
  readonly ends: Float64Array;
  readonly metadata: [string, string][];
  /** XXH3-64 of the file up to its data, 16 hex digits. */
  readonly xxh3: string;
}

/** What a file of torch.save holds: offsets count from the start of the file, and tensors may share bytes. */
export interface TorchColumns extends HeaderColumns {
  /** What was chosen and left out of a file that holds more than a model. */
  readonly notes: readonly string[];
}

/** One device, or the reason why a backend has none. */
export interface DeviceReport {
  readonly backend: 'cpu' | 'cuda';
  readonly ordinal: number;
  readonly available: boolean;
  /** Why it is not available. */
  readonly reason?: string;
  /** The backend's library, if it is a separate one. */
  readonly library?: string;
  /** The backend's build. */
  readonly version?: string;
  readonly name?: string;
  /** `avx512`, `avx2`, `baseline`, `sm_90`, … */
  readonly isa?: string;
  /** Bytes; 0 for the CPU. */
  readonly memoryTotal?: number;
  readonly memoryFree?: number;
  /** CUDA's encoding, 13000 = 13.0; 0 for the CPU. */
  readonly driverVersion?: number;
  readonly runtimeVersion?: number;
  /** Multiprocessors, or the CPUs this process may use. */
  readonly computeUnits?: number;
}

export interface EngineOptions {
  /** Default: `cpu`. */
  readonly device?: 'cpu' | 'cuda';
  readonly ordinal?: number;
  /** CPU threads; default: all this process may use. */
  readonly threads?: number;
  /** The highest SIMD level to use; default: the best there is. */
  readonly isa?: 'baseline' | 'avx2' | 'avx512';
  /**
   * Default: `exact`. Jobs reject with `ERR_DEVICE_UNAVAILABLE` with any other on the CPU, whose products are exact, and with
   * `tf32` where there is no cuBLASLt.
   */
  readonly precision?: Precision;
}

/** The options of an engine on `device`: cpu, cuda or cuda:N. */
export function engineOptions(device: string, threads: number | undefined): EngineOptions {
  const [backend, ordinal] = device.split(':');
  return {
    device: backend as 'cpu' | 'cuda',
    ordinal: Number(ordinal ?? 0),
    ...(threads !== undefined && { threads }),
  };
}

/**
 * Rows of `6 + K` numbers for K alphas, one per tensor range:
 * `xDtype, yDtype, outDtype, count, xOffset, yOffset, outOffset[0], …, outOffset[K-1]`.
 *
 * Dtypes are `DTypeInfo.index` of kind `float`, `count` is in elements, offsets are bytes into the arena and
 * need no alignment (aligned ranges are faster). Inputs may share bytes; an output must not overlap any other
 * range of the block.
 */
export type LerpSegments = Float64Array;
/** Rows of 5 numbers: `xDtype, yDtype, count, xOffset, yOffset`, as for {@link LerpSegments}. */
export type CompareSegments = Float64Array;

/** Elements covered by one row of {@link CompareSums}. */
export const compareSpan: number = 2 ** 18;
/**
 * What `Engine.compare` gives: for each segment `ceil(count / compareSpan)` rows of 10 numbers, in order:
 * `Σx², Σy², Σxy, Σ(y−x)², max|y−x|, unchanged, x NaN, x infinite, y NaN, y infinite`. Elements that are not
 * finite on both sides are left out of the sums. Rows of one tensor add up in ascending order (`max|y−x|` is
 * a maximum).
 */
export type CompareSums = Float64Array;
export const compareSumColumns = 10;

/** All dtypes; the element at `i` has index `i`. */
export const dtypes: readonly DTypeInfo[] = Object.freeze(addon.dtypes().map((info) => Object.freeze(info)));

const dtypesByName: ReadonlyMap<string, DTypeInfo> = new Map(dtypes.map((info) => [info.name, info]));

export function dtypeByName(name: string): DTypeInfo | undefined {
  return dtypesByName.get(name);
}

// Reach into a HostBuffer and an Engine, for this file and lib/native/; set by the classes, whose fields are private.
export let nativeBuffer: (buffer: HostBuffer) => NativeBuffer;
export let nativeEngine: (engine: Engine) => NativeEngine;

/** Most bytes of a HostBuffer. */
export const maxBufferBytes = constants.MAX_LENGTH;

/**
 * Memory owned by the addon, the only memory that jobs work on: aligned to 2 MiB, zero at first, resident
 * once used.
 *
 * Reuse it: touching it for the first time costs more than most jobs. `release()` frees it without waiting
 * for the garbage collector, at once or when the last job that uses it ends, and detaches every view of it.
 * Do not release it under a read or write of your own: the system call would see unmapped memory.
 */
export class HostBuffer {
  readonly byteLength: number;
  readonly #native: NativeBuffer;
  #released = false;

  static {
    nativeBuffer = (buffer) => {
      if (!(#native in buffer)) throw new TypeError('expected a HostBuffer');
      return buffer.#native;
    };
  }

  /** Throws `ERR_OUT_OF_MEMORY`, also where Node cannot show so much in one ArrayBuffer (4 GiB in Node 20). */
  constructor(bytes: number) {
    if (Number.isSafeInteger(bytes) && bytes > maxBufferBytes) {
      throw new WisemergeError(
        'ERR_OUT_OF_MEMORY',
        `${bytes} bytes in one buffer: this version of Node has at most ${maxBufferBytes}`,
        { hint: 'Run it with Node 22 or later.' },
      );
    }
    this.#native = call(() => new addon.HostBuffer(bytes));
    this.byteLength = bytes;
  }

  /** All of it. Typed arrays of Node 20 view at most 2^32 elements. */
  get buffer(): ArrayBuffer {
    if (this.#released) throw new WisemergeError('ERR_BUFFER_RELEASED', 'this host buffer has been released');
    return this.#native.arrayBuffer;
  }

  /** A view of `length` bytes from `offset`. */
  bytes(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.buffer, offset, length);
  }

  release(): void {
    this.#released = true;
    call(() => this.#native.release());
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/**
 * Parses the header of a safetensors file: `jsonBytes` of JSON at the start of `json`, `dataBytes` of tensor
 * data in the file. Rejects with `ERR_SAFETENSORS_*`.
 */
export function parseHeader(
  json: HostBuffer,
  jsonBytes: number,
  dataBytes: number,
  signal?: AbortSignal,
): Promise<HeaderColumns> {
  return run(() => addon.parseHeader(nativeBuffer(json), jsonBytes, dataBytes), signal);
}

/**
 * Reads what a checkpoint of torch.save holds, without running anything of it. `fd` may be closed once this
 * returns. Throws ERR_TORCH_FILE, ERR_PICKLE, ERR_PICKLE_GLOBAL, ERR_TORCH_STATE, ERR_TORCH_TENSOR, ERR_IO.
 */
export function parseTorchFile(fd: number, bytes: number, signal?: AbortSignal): Promise<TorchColumns> {
  return run(() => addon.parseTorchFile(fd, bytes), signal);
}

/** Ranges of tensors by dtype index and byte offset in an arena. */
export interface CombineCall {
  readonly out: { readonly dtype: number; readonly at: number };
  readonly count: number;
  readonly inputs: readonly { readonly dtype: number; readonly at: number; readonly weight: number }[];
}

/** A device opened for work. Jobs of all engines of a thread run one after another. */
export class Engine {
  readonly device: DeviceReport;
  readonly #native: NativeEngine;

  static {
    nativeEngine = (engine) => engine.#native;
  }

  /** Throws `ERR_DEVICE_UNAVAILABLE` with the reason. */
  constructor(options: EngineOptions = {}) {
    const { device = 'cpu', ordinal = 0, threads = 0, isa, precision = 'exact' } = options;
    this.#native = call(() => new addon.Engine(device, ordinal, threads, isa ?? '', precision));
    const report = call(() => addon.device(device, ordinal));
    this.device = isa === undefined ? report : { ...report, isa: lowerIsa(report.isa, isa) };
  }

  /**
   * Interpolates every segment at every alpha, in one pass over the inputs. Gives the number of NaN and
   * infinite elements written, at `[segment * K + k]`.
   */
  lerp(
    arena: HostBuffer,
    segments: LerpSegments,
    alphas: Float64Array,
    signal?: AbortSignal,
  ): Promise<Float64Array> {
    return run(() => this.#native.lerp(nativeBuffer(arena), segments, alphas), signal);
  }

  /** Sums over every pair of tensor ranges, the same on every device and thread count. */
  compare(arena: HostBuffer, segments: CompareSegments, signal?: AbortSignal): Promise<CompareSums> {
    return run(() => this.#native.compare(nativeBuffer(arena), segments), signal);
  }

  /** A matrix product. This and the head calls take the numbers of native/core/head_rows.h. */
  matmul(arena: HostBuffer, numbers: readonly number[], signal?: AbortSignal): Promise<void> {
    return run(() => this.#native.matmul(nativeBuffer(arena), Float64Array.from(numbers)), signal);
  }

  /** The interval of alpha on which each sample is classified correctly. */
  headPath(arena: HostBuffer, numbers: readonly number[], signal?: AbortSignal): Promise<void> {
    return run(() => this.#native.headPath(nativeBuffer(arena), Float64Array.from(numbers)), signal);
  }

  /**
   * The same from features and weights, with the same bits: no logits are kept. For the CPU only; others throw
   * `ERR_DEVICE_UNAVAILABLE`.
   */
  headCurve(arena: HostBuffer, numbers: readonly number[], signal?: AbortSignal): Promise<void> {
    return run(() => this.#native.headCurve(nativeBuffer(arena), Float64Array.from(numbers)), signal);
  }

  /** Adds the metrics of a batch of samples at every alpha to sums in the arena. */
  headMetrics(
    arena: HostBuffer,
    numbers: readonly number[],
    alphas: Float64Array,
    signal?: AbortSignal,
  ): Promise<void> {
    return run(
      () => this.#native.headMetrics(nativeBuffer(arena), Float64Array.from(numbers), alphas),
      signal,
    );
  }

  /** Adds the likelihood of a batch of samples and its derivatives to sums in the arena. */
  headMoments(arena: HostBuffer, numbers: readonly number[], signal?: AbortSignal): Promise<void> {
    return run(() => this.#native.headMoments(nativeBuffer(arena), Float64Array.from(numbers)), signal);
  }

  /** What both ends and one model between them put out for each sample. CPU only. */
  headOutputs(arena: HostBuffer, numbers: readonly number[], signal?: AbortSignal): Promise<void> {
    return run(() => this.#native.headOutputs(nativeBuffer(arena), Float64Array.from(numbers)), signal);
  }

  /**
   * out = Σ wᵢ xᵢ over `count` elements, rounded once, with the bits of the method `linear`. Gives the number of elements that are
   * not finite. On the CPU.
   */
  combine(arena: HostBuffer, call: CombineCall, signal?: AbortSignal): Promise<number> {
    const { out, count, inputs } = call;
    const numbers = [out.dtype, out.at, count, ...inputs.flatMap(({ dtype, at }) => [dtype, at])];
    const weights = Float64Array.from(inputs, ({ weight }) => weight);
    return run(() => this.#native.combine(nativeBuffer(arena), Float64Array.from(numbers), weights), signal);
  }

  /** Page-locks the buffer for this device's transfers, until it is released or the engine closes. */
  pin(buffer: HostBuffer): Promise<void> {
    return run(() => this.#native.pin(nativeBuffer(buffer)));
  }

  /** Frees the device's resources once the jobs already started have ended. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const isaOrder: readonly string[] = ['baseline', 'avx2', 'avx512'];

function lowerIsa(best: string | undefined, wanted: string): string {
  return isaOrder.indexOf(wanted) < isaOrder.indexOf(best ?? '') || best === undefined ? wanted : best;
}

/** All devices of all backends; a backend without any is reported with its reason. */
export function devices(): DeviceReport[] {
  return call(() => addon.devices());
}

/**
 * Reserves disk space for a file about to be written, and makes it that long. False where the file system
 * cannot; rejects with `ERR_NO_SPACE` when there is not enough.
 */
export function preallocate(fd: number, bytes: number): Promise<boolean> {
  return run(() => addon.preallocate(fd, bytes));
}

/** Waits until a file or directory is on its disk. For processes in which Node's own calls are refused. */
export function syncFile(fd: number): Promise<void> {
  return run(() => addon.sync(fd));
}

/** How much of the first `bytes` of a file is in the page cache; undefined where this cannot be told. */
export function cachedBytes(fd: number, bytes: number): number | undefined {
  return call(() => addon.cachedBytes(fd, bytes));
}

/**
 * Drops a file from the page cache, for benchmarks of cold reads. Does nothing where there is no such call.
 */
export function evict(fd: number): void {
  call(() => addon.evict(fd));
}

/** Bytes of host buffers alive in this process, in all threads: what `release()` gives back. */
export function hostBufferBytes(): number {
  return addon.liveBytes();
}

export const versions: Readonly<{ addon: string; napi: number; backendAbi: number }> = Object.freeze({
  addon: addon.version,
  napi: addon.napiVersion,
  backendAbi: addon.backendAbi,
});
