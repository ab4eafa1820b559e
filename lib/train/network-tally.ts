import type { EvaluationSet } from '../eval/data/evaluation-set.js';
import { type Metrics, metricColumns, metricsOf } from '../eval/metrics.js';

/** What one model did on one set. */
export interface NetworkEvaluation {
  /** Top-1, 0 to 1. */
  readonly score: number;
  /** Bit i % 32 of word floor(i / 32) for sample i. */
  readonly correct: Uint32Array;
  readonly metrics: Metrics;
}

/** What the zero-shot and the fine-tuned model predict, [samples]. */
export type Ends = readonly [Int32Array, Int32Array];

/** One model on one set, batch after batch. */
export class NetworkTally {
  readonly sums = new Float64Array(metricColumns);
  readonly predicted: Uint32Array;
  readonly #correct: Uint32Array;
  readonly #disagreed = { zeroshot: 0, finetuned: 0 };

  constructor(samples: number, classes: number) {
    this.predicted = new Uint32Array(classes);
    this.#correct = new Uint32Array(Math.ceil(samples / 32));
  }

  add(first: number, predictions: Int32Array, labels: Int32Array, [zeroshot, finetuned]: Ends): void {
    for (let i = 0; i < predictions.length; i++) {
      const [at, predicted] = [first + i, predictions[i]!];
      if (predicted === labels[at]) this.#correct[at >>> 5]! |= 1 << (at & 31);
      if (predicted !== zeroshot[at]) this.#disagreed.zeroshot++;
      if (predicted !== finetuned[at]) this.#disagreed.finetuned++;
    }
  }

  evaluation({ samples, labels, groups }: EvaluationSet): NetworkEvaluation {
    const correct = this.#correct;
    // A sample is right on the whole domain or nowhere: there is one model.
    const hi = Float64Array.from(labels, (_, i) => ((correct[i >>> 5]! >>> (i & 31)) & 1 ? 1 : -1));
    const intervals = {
      domain: [0, 1] as const,
      lo: new Float64Array(samples),
      hi,
      open: new Uint8Array(samples),
    };
    const metrics: Metrics = {
      ...metricsOf(0, this.sums, this.predicted, intervals, labels, groups),
      disagreement: {
        zeroshot: this.#disagreed.zeroshot / samples,
        finetuned: this.#disagreed.finetuned / samples,
      },
    };
    return { score: metrics.top1, correct, metrics };
  }
}
