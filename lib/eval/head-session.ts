import { WisemergeError } from '../errors.js';
import { type DTypeName, dtypeByName, type Engine, maxBufferBytes } from '../native.js';
import { Arena, ArenaLayout } from './arena.js';
import type { HeadDType, HeadPair } from './linear-head.js';

/** Frozen features of one evaluation set, read by ranges of rows. */
export interface FeatureSet {
  readonly name: string;
  /** Rows. */
  readonly samples: number;
  /** Columns. */
  readonly dimension: number;
  readonly featureDtype: HeadDType;
  /** Class of each row. */
  readonly labels: Int32Array;
  /** Reads `count` rows from `first`, row-major in `featureDtype`. */
  readFeatures(first: number, count: number, into: Uint8Array): Promise<void>;
}

/** Samples whose logits at both ends lie in the arena. All offsets are bytes. */
export interface LogitBatch {
  readonly set: FeatureSet;
  /** Of the batch, in the set. */
  readonly first: number;
  readonly rows: number;
  /** The numbers that head calls begin with (native/core/head_rows.h). */
  readonly numbers: readonly number[];
  /** Room for a number per sample: lo and hi in f64, open in bytes, weights in f64. */
  readonly lo: number;
  readonly hi: number;
  readonly open: number;
  readonly weights: number;
}

export interface HeadSessionOptions {
  /** Bytes for the arena; logits that fit are computed once. Default: 1 GiB. */
  readonly memory?: number;
  /**
   * Evaluate the model at this alpha alone: its weights are interpolated inside the matrix product, and stand
   * in the place of both ends. Default: both ends of the path.
   */
  readonly alpha?: number;
}

// Logits of one batch, both ends: enough rows for the matrix product to run at full speed.
const batchBytes = 64 << 20;
const maxRows = 8192;
const minRows = 64;
/** Numbers per sample that `Engine.headOutputs` gives (native/include/wisemerge/head.h). */
export const outputColumns = 14;
/** Alphas per call of the metrics. */
export const maxAlphas = 32;

export const bytesOf = (dtype: HeadDType) => (dtype === 'F32' ? 4 : 2);
export const indexOf = (dtype: HeadDType) => dtypeByName(dtype as DTypeName)!.index;

/**
 * Logits of both ends of a head pair over evaluation sets, batch by batch: kept where the budget allows, else
 * computed again at every pass. Results do not depend on the budget.
 */
export class HeadSession implements Disposable {
  readonly engine: Engine;
  readonly head: HeadPair;
  readonly arena: Arena;
  /** Where calls put their sums: room for `maxAlphas` of everything. */
  readonly sums: number;
  readonly predicted: number;
  /** Room for `outputColumns` numbers of each sample of a batch. */
  readonly outputs: number;

  readonly #alpha: number | undefined;
  readonly #rows: number;
  readonly #stride: number;
  readonly #zeroshot: number;
  readonly #finetuned: number;
  readonly #bias0: number;
  readonly #bias1: number;
  readonly #features: [number, number];
  readonly #regions: { offset: number; holds?: string }[] = [];
  readonly #regionOf = new Map<string, number>();

  /** Throws ERR_DATA_MISMATCH, ERR_MEMORY and ERR_OUT_OF_MEMORY. */
  constructor(engine: Engine, head: HeadPair, sets: readonly FeatureSet[], options: HeadSessionOptions = {}) {
    checkSets(head, sets);
    this.engine = engine;
    this.head = head;
    this.#alpha = options.alpha;
    this.#stride = Math.ceil(head.classes / 16) * 16;
    const perRow = 2 * 4 * this.#stride;
    this.#rows = Math.max(minRows, Math.min(maxRows, Math.floor(batchBytes / perRow / minRows) * minRows));

    const layout = new ArenaLayout();
    this.#zeroshot = layout.reserve(head.zeroshot.byteLength);
    this.#finetuned = layout.reserve(head.finetuned.byteLength);
    this.#bias0 = head.biases ? layout.reserve(4 * head.classes) : -1;
    this.#bias1 = head.biases ? layout.reserve(4 * head.classes) : -1;
    const widest = Math.max(...sets.map(({ featureDtype }) => bytesOf(featureDtype)));
    const featureBytes = this.#rows * head.dimension * widest;
    this.#features = [layout.reserve(featureBytes), layout.reserve(featureBytes)];
    this.sums = layout.reserve(8 * 64 * maxAlphas);
    this.predicted = layout.reserve(4 * head.classes * maxAlphas);
    this.outputs = layout.reserve(8 * outputColumns * this.#rows);

    const regionBytes = this.#rows * (perRow + 4 + 4 * 8) + 8 * 64;
    const batches = sets.reduce((sum, set) => sum + Math.ceil(set.samples / this.#rows), 0);
    // One buffer takes all of it.
    const budget = Math.min(options.memory ?? 2 ** 30, maxBufferBytes);
    const regions = Math.min(batches, Math.floor((budget - layout.bytes) / regionBytes));
    if (regions < 1) {
      throw new WisemergeError(
        'ERR_MEMORY',
        `a memory budget of ${budget} bytes holds no batch of ${head.classes} classes and ${head.dimension} features`,
        { hint: `Allow at least ${layout.bytes + regionBytes} bytes.` },
      );
    }
    for (let i = 0; i < regions; i++) this.#regions.push({ offset: layout.reserve(regionBytes) });
    this.arena = new Arena(layout);
    this.arena.bytes(this.#zeroshot, head.zeroshot.byteLength).set(head.zeroshot);
    this.arena.bytes(this.#finetuned, head.finetuned.byteLength).set(head.finetuned);
    if (head.biases) {
      this.arena.floats(this.#bias0, head.classes).set(head.biases.zeroshot);
      this.arena.floats(this.#bias1, head.classes).set(head.biases.finetuned);
    }
  }

  /** Calls `body` for all batches of a set, in order, with their logits in place. */
  async forEach(
    set: FeatureSet,
    body: (batch: LogitBatch) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    const count = Math.ceil(set.samples / this.#rows);
    // Read ahead by one batch: the file is read while the engine multiplies.
    const ahead = (i: number) => {
      const reading = i < count ? this.#read(set, i) : Promise.resolve(undefined);
      reading.catch(() => {}); // reported where it is awaited
      return reading;
    };
    let next = ahead(0);
    try {
      for (let i = 0; i < count; i++) {
        signal?.throwIfAborted();
        let features = await next;
        next = ahead(i + 1);
        // Its logits were there when it was looked for, and have made room for the batch before since.
        if (!this.#regionOf.has(keyOf(set, i))) features ??= await this.#read(set, i);
        await body(await this.#compute(set, i, features, signal));
      }
    } finally {
      await next.catch(() => {});
    }
  }

  /** Reads the features of a batch unless its logits are there; gives their offset. */
  async #read(set: FeatureSet, index: number): Promise<number | undefined> {
    if (this.#regionOf.has(keyOf(set, index))) return undefined;
    const offset = this.#features[index % 2]!;
    const first = index * this.#rows;
    const rows = Math.min(this.#rows, set.samples - first);
    const bytes = rows * set.dimension * bytesOf(set.featureDtype);
    await set.readFeatures(first, rows, this.arena.bytes(offset, bytes));
    return offset;
  }

  async #compute(
    set: FeatureSet,
    index: number,
    features: number | undefined,
    signal?: AbortSignal,
  ): Promise<LogitBatch> {
    const key = keyOf(set, index);
    const region = this.#regionOf.get(key) ?? this.#claim(key);
    const first = index * this.#rows;
    const rows = Math.min(this.#rows, set.samples - first);
    const logitBytes = 4 * this.#stride * this.#rows;
    const z0 = this.#regions[region]!.offset;
    const z1 = z0 + logitBytes;
    const lo = z1 + logitBytes;
    const hi = lo + 8 * this.#rows;
    const weights = hi + 8 * this.#rows;
    const labels = weights + 8 * this.#rows;
    const open = labels + 4 * this.#rows;
    if (features !== undefined) {
      this.arena.ints(labels, rows).set(set.labels.subarray(first, first + rows));
      if (this.#alpha !== undefined) {
        await this.#multiply(set, features, rows, this.#alpha, z0, signal);
      } else {
        await this.#multiply(set, features, rows, 0, z0, signal);
        await this.#multiply(set, features, rows, 1, z1, signal);
      }
      this.#regions[region]!.holds = key;
      this.#regionOf.set(key, region);
    }
    const end = this.#alpha === undefined ? z1 : z0;
    const numbers = [rows, this.head.classes, this.#stride, z0, end, labels];
    return { set, first, rows, numbers, lo, hi, open, weights };
  }

  /** A region for a batch: a free one, else the last, whose batch is then computed again when it is needed. */
  #claim(key: string): number {
    const free = this.#regions.findIndex(({ holds }) => holds === undefined);
    const index = free >= 0 ? free : this.#regions.length - 1;
    const region = this.#regions[index]!;
    if (region.holds !== undefined) this.#regionOf.delete(region.holds);
    region.holds = key;
    return index;
  }

  #multiply(
    set: FeatureSet,
    features: number,
    rows: number,
    alpha: number,
    out: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { classes, dimension, dtype } = this.head;
    const a = [indexOf(set.featureDtype), features, dimension, 1];
    const w = [indexOf(dtype), this.#zeroshot, this.#finetuned, dimension, 1];
    const bias = [this.#bias0, this.#bias1];
    const numbers = [rows, classes, dimension, ...a, ...w, alpha, ...bias, out, this.#stride];
    return this.engine.matmul(this.arena.buffer, numbers, signal);
  }

  [Symbol.dispose](): void {
    this.arena[Symbol.dispose]();
  }
}

function keyOf(set: FeatureSet, index: number): string {
  return `${index} ${set.name}`;
}

/** Throws ERR_DATA_MISMATCH. */
export function checkSets(head: HeadPair, sets: readonly FeatureSet[]): void {
  for (const set of sets) {
    if (set.dimension !== head.dimension) {
      throw new WisemergeError(
        'ERR_DATA_MISMATCH',
        `set ${set.name} has features of ${set.dimension} numbers; ${head.name} takes ${head.dimension}`,
        { hint: 'Features and head must come from the same encoder.' },
      );
    }
    const wrong = set.labels.findIndex((label) => label < 0 || label >= head.classes);
    if (wrong >= 0 || set.labels.length !== set.samples || set.samples === 0) {
      throw new WisemergeError(
        'ERR_DATA_MISMATCH',
        wrong >= 0
          ? `set ${set.name}: label ${set.labels[wrong]} of row ${wrong} is outside 0..${head.classes - 1}`
          : `set ${set.name} has ${set.samples} samples and ${set.labels.length} labels`,
      );
    }
  }
}
