import { WisemergeError } from '../errors.js';
import type { Engine } from '../native.js';
import { Arena, ArenaLayout } from './arena.js';
import type { CorrectIntervals } from './correct-intervals.js';
import type { Groups } from './data/groups.js';
import { domainOf, type EvaluateHeadOptions, evaluateHead } from './head-evaluation.js';
import {
  bytesOf,
  checkSets,
  type FeatureSet,
  HeadSession,
  type HeadSessionOptions,
  indexOf,
} from './head-session.js';
import type { HeadPair } from './linear-head.js';
import { type AccuracyMetrics, accuracyOf, populationOf } from './metrics.js';

export interface HeadCurve {
  /** Where each sample is classified correctly: the exact curve of accuracy. */
  readonly intervals: CorrectIntervals;
  /** Of each alpha that was asked for. */
  readonly metrics: readonly AccuracyMetrics[];
}

// Of the features of one batch: enough for the weights, which every batch packs anew, not to show.
const batchBytes = 32 << 20;
const maxRows = 65_536;
const minRows = 64;

/**
 * What the exact curve alone takes: features in, intervals out. On the CPU logits are not kept, nor computed
 * further than it takes to tell which classes matter (reference: docs/numerics.md, "Heads"); a GPU computes them.
 */
export class CurveSession implements Disposable {
  readonly engine: Engine;
  readonly head: HeadPair;
  readonly arena: Arena;

  readonly #logits: HeadSession | undefined;
  readonly #rows: number = 0;
  readonly #weights: readonly number[] = [];
  readonly #biases: readonly number[] = [];
  readonly #features: readonly number[] = [];
  readonly #labels: number = 0;
  readonly #results: readonly [number, number, number] = [0, 0, 0];

  /** Throws ERR_DATA_MISMATCH, ERR_MEMORY and ERR_OUT_OF_MEMORY. */
  constructor(
    engine: Engine,
    head: HeadPair,
    sets: readonly FeatureSet[],
    options: Pick<HeadSessionOptions, 'memory'> = {},
  ) {
    this.engine = engine;
    this.head = head;
    if (engine.device.backend !== 'cpu') {
      this.#logits = new HeadSession(engine, head, sets, options);
      this.arena = this.#logits.arena;
      return;
    }
    checkSets(head, sets);
    const layout = new ArenaLayout();
    const parts = [head.zeroshot, head.finetuned];
    this.#weights = parts.map((part) => layout.reserve(part.byteLength));
    const biases = head.biases ? [head.biases.zeroshot, head.biases.finetuned] : [];
    this.#biases = head.biases ? biases.map((bias) => layout.reserve(bias.byteLength)) : [-1, -1];

    const widest = Math.max(...sets.map(({ featureDtype }) => bytesOf(featureDtype)));
    const rowBytes = head.dimension * widest;
    const perRow = 2 * rowBytes + 2 * 8 + 4 + 1;
    const budget = options.memory ?? 2 ** 30;
    const most = Math.max(...sets.map(({ samples }) => samples));
    const fitting = Math.floor((budget - layout.bytes - 8 * 64) / perRow);
    const wanted = Math.max(minRows, Math.min(maxRows, Math.floor(batchBytes / rowBytes), most));
    if (fitting < minRows) {
      throw new WisemergeError(
        'ERR_MEMORY',
        `a memory budget of ${budget} bytes holds no batch of ${head.dimension} features and the weights of ${head.classes} classes`,
        { hint: `Allow at least ${layout.bytes + 8 * 64 + minRows * perRow} bytes.` },
      );
    }
    this.#rows = Math.min(wanted, fitting);
    this.#features = [0, 1].map(() => layout.reserve(this.#rows * rowBytes));
    this.#labels = layout.reserve(4 * this.#rows);
    this.#results = [
      layout.reserve(8 * this.#rows),
      layout.reserve(8 * this.#rows),
      layout.reserve(this.#rows),
    ];
    this.arena = new Arena(layout);
    for (const [i, part] of parts.entries()) {
      this.arena.bytes(this.#weights[i]!, part.byteLength).set(part);
    }
    for (const [i, bias] of biases.entries()) this.arena.floats(this.#biases[i]!, bias.length).set(bias);
  }

  /** The intervals of a set: those of `evaluateHead`, to the bit. */
  async intervals(
    set: FeatureSet & { readonly groups?: Groups },
    options: EvaluateHeadOptions = {},
  ): Promise<CorrectIntervals> {
    if (this.#logits) return (await evaluateHead(this.#logits, set, [], options)).intervals;
    const domain = domainOf([], options.domain);
    const lo = new Float64Array(set.samples);
    const hi = new Float64Array(set.samples);
    const open = new Uint8Array(set.samples);
    const count = Math.ceil(set.samples / this.#rows);
    // Read ahead by one batch: the file is read while the engine computes.
    const ahead = (i: number) => {
      const reading = i < count ? this.#read(set, i) : Promise.resolve();
      reading.catch(() => {}); // reported where it is awaited
      return reading;
    };
    let next = ahead(0);
    try {
      for (let i = 0; i < count; i++) {
        options.signal?.throwIfAborted();
        await next;
        next = ahead(i + 1);
        const first = i * this.#rows;
        const rows = Math.min(this.#rows, set.samples - first);
        await this.#compute(set, i, rows, domain, options.signal);
        const [atLo, atHi, atOpen] = this.#results;
        lo.set(this.arena.doubles(atLo, rows), first);
        hi.set(this.arena.doubles(atHi, rows), first);
        open.set(this.arena.bytes(atOpen, rows), first);
        options.onSamples?.(first + rows);
      }
    } finally {
      await next.catch(() => {});
    }
    return { domain, lo, hi, open };
  }

  #read(set: FeatureSet, index: number): Promise<void> {
    const first = index * this.#rows;
    const rows = Math.min(this.#rows, set.samples - first);
    const bytes = rows * set.dimension * bytesOf(set.featureDtype);
    return set.readFeatures(first, rows, this.arena.bytes(this.#features[index % 2]!, bytes));
  }

  #compute(
    set: FeatureSet,
    index: number,
    rows: number,
    domain: readonly [number, number],
    signal?: AbortSignal,
  ): Promise<void> {
    const { classes, dimension, dtype } = this.head;
    const first = index * this.#rows;
    this.arena.ints(this.#labels, rows).set(set.labels.subarray(first, first + rows));
    const x = [indexOf(set.featureDtype), this.#features[index % 2]!, dimension, 1];
    const w = [indexOf(dtype), ...this.#weights, dimension, 1];
    const numbers = [rows, classes, dimension, ...x, ...w, ...this.#biases];
    const results = [this.#labels, ...domain, ...this.#results];
    return this.engine.headCurve(this.arena.buffer, [...numbers, ...results], signal);
  }

  [Symbol.dispose](): void {
    if (this.#logits) this.#logits[Symbol.dispose]();
    else this.arena[Symbol.dispose]();
  }
}

/**
 * The exact accuracy at every alpha of the domain, and what follows from it at some: `evaluateHead` without the
 * metrics that need probabilities, which cost more than the curve does.
 */
export async function evaluateCurve(
  session: CurveSession,
  set: FeatureSet & { readonly groups?: Groups },
  alphas: readonly number[],
  options: EvaluateHeadOptions = {},
): Promise<HeadCurve> {
  const domain = domainOf(alphas, options.domain);
  const intervals = await session.intervals(set, { ...options, domain });
  const population = populationOf(set.labels, session.head.classes, set.groups);
  const metrics = alphas.map((alpha) => accuracyOf(alpha, intervals, population));
  return { intervals, metrics };
}
