import { beginCall } from '../call-options.js';
import { BlockRing, type RingRange, rangeBytes, ringInput, ringSlots } from '../checkpoint/block-ring.js';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { InputPool } from '../checkpoint/input-pool.js';
import { type ProgressListener, ProgressMeter } from '../checkpoint/progress.js';
import { runAhead } from '../checkpoint/run-ahead.js';
import { slotBytes } from '../checkpoint/slot-shape.js';
import { dtypeInfo, sameShape, type TensorInfo } from '../checkpoint/tensor.js';
import { WisemergeError } from '../errors.js';
import { compareSpan, compareSumColumns, type DTypeName, Engine, engineOptions } from '../native.js';
import { equalBytes } from './copied.js';
import { bytes, type Check, checkOptions, device, threadCount } from './option-checks.js';
import { defaultMemory, minMemory } from './options.js';
import { cutSpans, type FloatPair, type SpanRange, spanShape } from './spans.js';

/**
 * How one float tensor differs between two models, x and y. Elements that are NaN or infinite on either side
 * are counted and left out of the norms.
 */
export interface TensorDiff {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtypes: readonly [DTypeName, DTypeName];
  readonly parameters: number;
  /** ‖y − x‖ / ‖x‖; null where ‖x‖ is 0 and the tensors differ, and over no parameters at all. */
  readonly relativeL2: number | null;
  /** Cosine of the angle between x and y; null where either is zero. */
  readonly cosine: number | null;
  /** ‖x‖ and ‖y‖. */
  readonly norms: readonly [number, number];
  /** max |y − x|. */
  readonly maxAbs: number;
  /** Share of elements with the same bits (the same value, where dtypes differ), in [0, 1]; 1 of an empty tensor. */
  readonly unchanged: number;
  readonly nan: readonly [number, number];
  readonly inf: readonly [number, number];
}

/** The comparison of two models; JSON-serialisable. */
export interface DiffResult {
  /** Float tensors of both models, in the order of the first. */
  readonly tensors: readonly TensorDiff[];
  /** The same figures over all of them; `unchanged` is null where they have no parameters. */
  readonly total: Omit<TensorDiff, 'name' | 'shape' | 'dtypes' | 'unchanged'> & {
    readonly unchanged: number | null;
  };
  /** Integer, boolean and packed tensors of both models. */
  readonly exact: readonly { readonly name: string; readonly dtype: DTypeName; readonly equal: boolean }[];
  readonly onlyInFirst: readonly string[];
  readonly onlyInSecond: readonly string[];
  /** Tensors that have one name but cannot be compared: other shapes or kinds of dtype. */
  readonly incomparable: readonly {
    readonly name: string;
    readonly first: string;
    readonly second: string;
  }[];
}

export interface DiffOptions {
  /** `auto` (default: the CPU), `cpu`, `cuda` or `cuda:N`. */
  readonly device?: string;
  /** CPU threads. Default: all. */
  readonly threads?: number;
  /** Most bytes of I/O buffers. Default 80 MiB. */
  readonly memory?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: ProgressListener;
}

const checks: {
  readonly [Option in keyof Required<Omit<DiffOptions, 'signal' | 'onProgress'>>]: Check;
} = {
  device,
  threads: threadCount,
  memory: bytes(minMemory, '--memory 4MiB'),
};

/**
 * Compares two models tensor by tensor in one streaming pass of bounded memory. The figures do not depend on
 * threads, memory or device. Rejects with WisemergeError as `openCheckpoint` does, ERR_USAGE, ERR_INCOMPATIBLE
 * for models without a tensor of the same name, ERR_MEMORY, ERR_INPUT_CHANGED, ERR_IO or ERR_DEVICE_*.
 */
export async function diff(first: string, second: string, options: DiffOptions = {}): Promise<DiffResult> {
  using _call = beginCall(options);
  const { signal, onProgress, ...given } = options;
  checkOptions(given, checks, []);
  const { device: chosen = 'auto', threads, memory } = given;
  const read = signal ? { signal } : {};
  const [a, b] = await Promise.all([openCheckpoint(first, read), openCheckpoint(second, read)]);
  const { floats, others, incomparable } = matchTensors(a, b);
  if (floats.length + others.length + incomparable.length === 0) throw nothingInCommon(a, b);
  if (memory !== undefined) checkMemory(memory, floats);

  const progress = new ProgressMeter(onProgress);
  progress.start(
    'stream',
    [...floats, ...others].reduce((sum, { x, y }) => sum + x.bytes + y.bytes, 0),
  );
  // As of merges: both models come from disk, and a device only adds a trip over the bus.
  const engine = new Engine(engineOptions(chosen === 'auto' ? 'cpu' : chosen, threads));
  const inputs = new InputPool([...a.files, ...b.files]);
  try {
    const sums = await comparePairs(floats, inputs, engine, memory ?? defaultMemory, progress, signal);
    const exact = await compareExact(others, inputs, progress, signal);
    await inputs.close();
    return {
      tensors: floats.map(({ x, y }, i) => ({
        name: x.name,
        shape: x.shape,
        dtypes: [x.dtype, y.dtype],
        ...figures(sums[i]!, x.count),
      })),
      total: totalOf(
        addRows(sums),
        floats.reduce((sum, { x }) => sum + x.count, 0),
      ),
      exact,
      onlyInFirst: [...a.tensors.keys()].filter((name) => !b.tensors.has(name)),
      onlyInSecond: [...b.tensors.keys()].filter((name) => !a.tensors.has(name)),
      incomparable,
    };
  } finally {
    await inputs.close().catch(() => {});
    engine.close();
  }
}

/** A default grows where it must; a given budget that is too small is an error, as of merges. */
function checkMemory(memory: number, pairs: readonly FloatPair[]): void {
  const smallest = ringSlots * slotBytes(spanShape(pairs, 0, ringSlots, 'cpu'), 0);
  if (memory >= smallest) return;
  throw new WisemergeError(
    'ERR_MEMORY',
    `memory of ${memory} bytes is too small; this comparison needs ${smallest}`,
    { hint: 'Raise memory (--memory).' },
  );
}

function matchTensors(
  a: Checkpoint,
  b: Checkpoint,
): { floats: FloatPair[]; others: FloatPair[]; incomparable: DiffResult['incomparable'] } {
  const floats: FloatPair[] = [];
  const others: FloatPair[] = [];
  const incomparable: { name: string; first: string; second: string }[] = [];
  const describe = ({ dtype, shape }: TensorInfo): string => `${dtype} [${shape.join(', ')}]`;
  for (const x of a.tensors.values()) {
    const y = b.tensors.get(x.name);
    if (!y) continue;
    const alike = sameShape(x.shape, y.shape);
    const isFloat = [x, y].every(({ dtype }) => dtypeInfo(dtype).kind === 'float');
    if (alike && isFloat) floats.push({ x, y });
    else if (alike && x.dtype === y.dtype) others.push({ x, y });
    else incomparable.push({ name: x.name, first: describe(x), second: describe(y) });
  }
  return { floats, others, incomparable };
}

function nothingInCommon(a: Checkpoint, b: Checkpoint): WisemergeError {
  const [first, second] = [a, b].map(({ tensors }) => {
    const [name, ...more] = tensors.keys();
    return name === undefined
      ? 'no tensors'
      : more.length === 0
        ? `"${name}"`
        : `"${name}" and ${more.length} more`;
  });
  return new WisemergeError(
    'ERR_INCOMPATIBLE',
    `no tensor of ${a.path} (${first}) has the name of one of ${b.path} (${second})`,
    { file: b.path, hint: 'Compare two models of one architecture, whose tensors have the same names.' },
  );
}

/** Columns of a row of `CompareSums`. */
const columns: number = compareSumColumns;
const [XX, YY, XY, DD, MAX, UNCHANGED, X_NAN, X_INF, Y_NAN, Y_INF] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] as const;

/** One row of sums per pair. */
async function comparePairs(
  pairs: readonly FloatPair[],
  inputs: InputPool,
  engine: Engine,
  memory: number,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<Float64Array[]> {
  const spans = pairs.map(({ x }) => new Float64Array(columns * Math.ceil(x.count / compareSpan)));
  const shape = spanShape(pairs, memory, ringSlots, engine.device.backend);
  const ring = await BlockRing.open(engine, inputs, shape, ringSlots, []);
  const submit = async (range: SpanRange) => {
    const { done } = await ring.submit(ringRange(range, pairs), signal);
    const finish = async (): Promise<void> => {
      const sums = await done;
      let at = 0;
      for (const { pair, skip, count } of range.segments) {
        const length = columns * Math.ceil(count / compareSpan);
        spans[pair]!.set(sums.subarray(at, at + length), (columns * skip) / compareSpan);
        at += length;
      }
      progress.add(range.bytes, pairs[range.segments.at(-1)!.pair]!.x.name);
    };
    return { done: finish() };
  };
  try {
    const bytes = pairs.reduce((sum, { x, y }) => sum + x.bytes + y.bytes, 0);
    await runAhead(cutSpans(pairs, rangeBytes(shape.x, bytes)), submit, signal);
  } finally {
    ring.close();
  }
  return spans.map((rows) =>
    addRows(
      Array.from({ length: rows.length / columns }, (_, i) => rows.subarray(columns * i, columns * (i + 1))),
    ),
  );
}

function ringRange({ segments }: SpanRange, pairs: readonly FloatPair[]): RingRange {
  return {
    segments: segments.map(({ pair, skip, count }) => {
      const { x, y } = pairs[pair]!;
      const dtypes = [dtypeInfo(x.dtype).index, dtypeInfo(y.dtype).index];
      return { dtypes, count, x: ringInput(x, skip), y: ringInput(y, skip) };
    }),
  };
}

/** Adds rows in order; the maximum is a maximum. */
function addRows(rows: readonly Float64Array[]): Float64Array {
  const total = new Float64Array(columns);
  for (const row of rows) {
    for (let i = 0; i < columns; i++) {
      total[i] = i === MAX ? Math.max(total[i]!, row[i]!) : total[i]! + row[i]!;
    }
  }
  return total;
}

function totalOf(sums: Float64Array, parameters: number): DiffResult['total'] {
  const total = figures(sums, parameters);
  return parameters > 0 ? total : { ...total, relativeL2: null, unchanged: null };
}

function figures(sums: Float64Array, parameters: number): Omit<TensorDiff, 'name' | 'shape' | 'dtypes'> {
  const at = (column: number): number => sums[column]!;
  const [xNorm, yNorm, distance] = [Math.sqrt(at(XX)), Math.sqrt(at(YY)), Math.sqrt(at(DD))];
  return {
    parameters,
    relativeL2: xNorm > 0 ? distance / xNorm : distance === 0 ? 0 : null,
    // Rounding can carry the quotient just past 1.
    cosine: xNorm > 0 && yNorm > 0 ? Math.max(-1, Math.min(1, at(XY) / (xNorm * yNorm))) : null,
    norms: [xNorm, yNorm],
    maxAbs: at(MAX),
    unchanged: parameters > 0 ? at(UNCHANGED) / parameters : 1,
    nan: [at(X_NAN), at(Y_NAN)],
    inf: [at(X_INF), at(Y_INF)],
  };
}

async function compareExact(
  pairs: readonly FloatPair[],
  inputs: InputPool,
  progress: ProgressMeter,
  signal?: AbortSignal,
): Promise<DiffResult['exact']> {
  const results: { name: string; dtype: DTypeName; equal: boolean }[] = [];
  for (const { x, y } of pairs) {
    const equal = await equalBytes(x, y, inputs, progress, signal);
    results.push({ name: x.name, dtype: x.dtype, equal });
  }
  return results;
}
