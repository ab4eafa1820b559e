import { WisemergeError } from '../errors.js';
import type { Engine } from '../native.js';
import type { Arena, ArenaLayout } from './arena.js';
import { correctBits } from './correct-intervals.js';
import type { Groups } from './data/groups.js';
import { type EvaluatedModel, labelOf } from './function-evaluator.js';
import { type Metrics, metricColumns, metricsOf, populationOf } from './metrics.js';
import type { NetworkPoint } from './network.js';

/** What one model did on one set. */
export interface LogitEvaluation {
  /** Top-1, 0 to 1. */
  readonly score: number;
  /** Bit i % 32 of word floor(i / 32) for sample i. */
  readonly correct: Uint32Array;
  readonly metrics: Metrics;
}

/** What the zero-shot and the fine-tuned model predict, [samples]. */
export type Ends = readonly [Int32Array, Int32Array];

export interface LabelledSamples {
  readonly name: string;
  readonly labels: Int32Array;
  readonly groups?: Groups;
}

/** One model on one set, batch after batch. */
export class LogitTally {
  readonly sums = new Float64Array(metricColumns);
  readonly predicted: Uint32Array;
  readonly #correct: Uint32Array;
  readonly #disagreed = { zeroshot: 0, finetuned: 0 };
  readonly #broken = { samples: 0, first: -1 };

  constructor(samples: number, classes: number) {
    this.predicted = new Uint32Array(classes);
    this.#correct = new Uint32Array(Math.ceil(samples / 32));
  }

  /** Which samples of a batch are right, by their intervals as everywhere else. `from` is a multiple of 32. */
  judge(from: number, lo: Float64Array, hi: Float64Array, open: Uint8Array): void {
    const words = this.#correct.subarray(from >>> 5, Math.ceil((from + lo.length) / 32));
    correctBits({ domain: [0, 1], lo, hi, open }, 0, words);
  }

  /** Counts the samples of a batch, logits [rows, stride], whose logits are not all finite. */
  check(from: number, logits: Float32Array, stride: number, classes: number): void {
    for (let row = 0; row < logits.length / stride; row++) {
      let nothing = 0;
      // 0 times anything finite is 0, times anything else NaN: no branch per logit.
      for (let at = row * stride; at < row * stride + classes; at++) nothing += 0 * logits[at]!;
      if (nothing === 0) continue;
      if (this.#broken.samples++ === 0) this.#broken.first = from + row;
    }
  }

  /** Adds the predictions of a batch. */
  add(from: number, predictions: Int32Array, [zeroshot, finetuned]: Ends): void {
    for (let i = 0; i < predictions.length; i++) {
      const [at, predicted] = [from + i, predictions[i]!];
      if (predicted !== zeroshot[at]) this.#disagreed.zeroshot++;
      if (predicted !== finetuned[at]) this.#disagreed.finetuned++;
    }
  }

  /** Throws ERR_EVALUATION where `model` gave outputs that are no numbers: they are neither right nor wrong. */
  refuseBroken(model: EvaluatedModel, { name, labels }: LabelledSamples): void {
    const { samples, first } = this.#broken;
    if (samples === 0) return;
    const what = `the outputs of ${samples} of ${labels.length} samples are NaN or infinite`;
    throw new WisemergeError(
      'ERR_EVALUATION',
      `${labelOf(model)}, set ${name}: ${what}, sample ${first} the first`,
      {
        hint: 'Weights that are NaN, infinite or too large do this: wisemerge diff counts those that are not finite.',
        details: { ...(typeof model === 'number' && { alpha: model }), set: name, samples, first },
      },
    );
  }

  evaluation({ labels, groups }: LabelledSamples): LogitEvaluation {
    const samples = labels.length;
    const correct = this.#correct;
    // A sample is right on the whole domain or nowhere: there is one model.
    const hi = Float64Array.from(labels, (_, i) => ((correct[i >>> 5]! >>> (i & 31)) & 1 ? 1 : -1));
    const intervals = {
      domain: [0, 1] as const,
      lo: new Float64Array(samples),
      hi,
      open: new Uint8Array(samples),
    };
    const population = populationOf(labels, this.predicted.length, groups);
    const metrics: Metrics = {
      ...metricsOf(0, this.sums, this.predicted, intervals, population),
      disagreement: {
        zeroshot: this.#disagreed.zeroshot / samples,
        finetuned: this.#disagreed.finetuned / samples,
      },
    };
    return { score: metrics.top1, correct, metrics };
  }
}

/** Turns batches of logits into metrics; its memory is part of the caller's arena. */
export class LogitMeter {
  /** Where the caller puts logits, f32 [rows, stride], and labels, i32 [rows]. */
  readonly logits: number;
  readonly labels: number;
  /** f32 from one row of logits to the next: whole cache lines. */
  readonly stride: number;
  readonly #classes: number;
  readonly #at: Readonly<Record<'lo' | 'hi' | 'open' | 'sums' | 'predicted' | 'predictions', number>>;

  /** For batches of up to `rows` samples: a multiple of the block that metrics are summed by, but for the last. */
  constructor(layout: ArenaLayout, rows: number, classes: number) {
    this.#classes = classes;
    this.stride = Math.ceil(classes / 16) * 16;
    this.logits = layout.reserve(4 * rows * this.stride);
    this.labels = layout.reserve(4 * rows);
    this.#at = {
      lo: layout.reserve(8 * rows),
      hi: layout.reserve(8 * rows),
      open: layout.reserve(rows),
      sums: layout.reserve(8 * metricColumns),
      predicted: layout.reserve(4 * classes),
      predictions: layout.reserve(4 * rows),
    };
  }

  /** Puts logits, [rows, classes], where they are measured. */
  put(arena: Arena, logits: Float32Array): void {
    const classes = this.#classes;
    const rows = logits.length / classes;
    const to = arena.floats(this.logits, rows * this.stride);
    for (let i = 0; i < rows; i++) to.set(logits.subarray(i * classes, (i + 1) * classes), i * this.stride);
  }

  /** Adds the metrics of the batch from sample `from` to `tally`. Gives its predictions, valid until the next call. */
  async measure(
    engine: Engine,
    arena: Arena,
    from: number,
    rows: number,
    tally: LogitTally,
    signal?: AbortSignal,
  ): Promise<Int32Array> {
    const { lo, hi, open, ...at } = this.#at;
    // One model stands at both ends of the head's path.
    const numbers = [rows, this.#classes, this.stride, this.logits, this.logits, this.labels];
    await engine.headPath(arena.buffer, [...numbers, 0, 1, lo, hi, open], signal);
    tally.judge(from, arena.doubles(lo, rows), arena.doubles(hi, rows), arena.bytes(open, rows));
    tally.check(from, arena.floats(this.logits, rows * this.stride), this.stride, this.#classes);
    const sums = arena.doubles(at.sums, metricColumns);
    const predicted = arena.counts(at.predicted, this.#classes);
    sums.set(tally.sums);
    predicted.set(tally.predicted);
    const results = [lo, hi, open, at.sums, at.predicted, at.predictions];
    await engine.headMetrics(arena.buffer, [...numbers, ...results], Float64Array.of(0), signal);
    tally.sums.set(sums);
    tally.predicted.set(predicted);
    return arena.ints(at.predictions, rows);
  }
}

/** Models at several alphas on one set, all of whose logits of a batch are there together. */
export class PathTally {
  /** The alphas to evaluate, each once; the ends come first, unless their predictions are known. */
  readonly alphas: readonly NetworkPoint[];
  /** Complete after the last batch. */
  readonly ends: Ends;
  readonly #known: boolean;
  readonly #lone: string | undefined;
  readonly #tallies: readonly LogitTally[];

  /** `lone`: there is one model, of this name, at 0, which is both ends. */
  constructor(
    samples: number,
    classes: number,
    alphas: readonly NetworkPoint[],
    known: Ends | undefined,
    lone?: string,
  ) {
    this.ends = known ?? [new Int32Array(samples), new Int32Array(samples)];
    this.#known = known !== undefined;
    this.#lone = lone;
    this.alphas = [...new Set([...(known ? [] : lone !== undefined ? [0] : [0, 1]), ...alphas])];
    this.#tallies = this.alphas.map(() => new LogitTally(samples, classes));
  }

  /** Adds a batch from sample `from`: logits [rows, classes] of each of `alphas`. */
  async add(
    meter: LogitMeter,
    engine: Engine,
    arena: Arena,
    labels: Int32Array,
    from: number,
    rows: number,
    logits: readonly Float32Array[],
    signal?: AbortSignal,
  ): Promise<void> {
    arena.ints(meter.labels, rows).set(labels.subarray(from, from + rows));
    const predicted: Int32Array[] = [];
    for (const [k, alpha] of this.alphas.entries()) {
      meter.put(arena, logits[k]!);
      predicted.push((await meter.measure(engine, arena, from, rows, this.#tallies[k]!, signal)).slice());
      if (!this.#known && (alpha === 0 || alpha === 1)) this.ends[alpha].set(predicted[k]!, from);
      if (this.#lone !== undefined && alpha === 0) this.ends[1].set(predicted[k]!, from);
    }
    for (const [k, predictions] of predicted.entries()) {
      this.#tallies[k]!.add(from, predictions, this.ends);
    }
  }

  /** After the last batch, of some of `alphas`. Throws ERR_EVALUATION where outputs of a model are not finite. */
  evaluations(alphas: readonly NetworkPoint[], set: LabelledSamples): LogitEvaluation[] {
    for (const [k, alpha] of this.alphas.entries()) {
      const model = this.#lone ?? (typeof alpha === 'number' ? alpha : 'alphas by tensor');
      this.#tallies[k]!.refuseBroken(model, set);
    }
    return alphas.map((alpha) => this.#tallies[this.alphas.indexOf(alpha)]!.evaluation(set));
  }
}

/** Throws ERR_DATA_MISMATCH where a label is no class of the network. */
export function checkLabels(
  { name, labels }: { readonly name: string; readonly labels: Int32Array },
  classes: number,
  hint: string,
): void {
  const wrong = labels.findIndex((label) => label < 0 || label >= classes);
  if (wrong < 0) return;
  throw new WisemergeError(
    'ERR_DATA_MISMATCH',
    `set ${name}: label ${labels[wrong]} of picture ${wrong} is outside the ${classes} classes of the network`,
    { hint },
  );
}
