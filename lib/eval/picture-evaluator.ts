import { itemSize } from '../checkpoint/tensor.js';
import { Engine } from '../native.js';
import { Arena, ArenaLayout } from './arena.js';
import type { EvaluationSet } from './data/evaluation-set.js';
import type { Evaluator } from './evaluator.js';
import { checkLabels, type Ends, type LogitEvaluation, LogitMeter, PathTally } from './logit-meter.js';
import { modelIdentities } from './model-identity.js';
import { NetworkModel, type NetworkPoint } from './network.js';

export interface PictureEvaluatorOptions {
  readonly zeroshot: string;
  readonly finetuned: string;
  /** With a `shape`: [channels, height, width], as the networks take them. */
  readonly sets: readonly EvaluationSet[];
  /** CPU threads; results do not depend on them. Default: all. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

/** Pictures that are read and measured together: a multiple of the block that metrics are summed by. */
const batchPictures = 512;

/**
 * Evaluates the models between two classifiers that take `pixel_values` and give `logits`, on sets of pictures that are
 * given as arrays: all alphas at once, and each call reads every set once.
 */
export class PictureEvaluator implements Evaluator {
  readonly batch = 64;
  readonly calls = 1;
  readonly sets: readonly EvaluationSet[];
  readonly identity: unknown;
  readonly #model: NetworkModel;
  readonly #engine: Engine;
  readonly #classes: number;
  readonly #ends = new Map<EvaluationSet, Ends>();

  private constructor(
    model: NetworkModel,
    engine: Engine,
    classes: number,
    sets: readonly EvaluationSet[],
    identity: unknown,
  ) {
    this.#model = model;
    this.#engine = engine;
    this.#classes = classes;
    this.sets = sets;
    this.identity = identity;
  }

  /**
   * Opens both models. Rejects with ERR_DATA_MISMATCH for a set that does not fit them, and as `NetworkModel.open` and
   * `NetworkModel.forward`.
   */
  static async open(options: PictureEvaluatorOptions): Promise<PictureEvaluator> {
    const { zeroshot, finetuned, sets, threads, signal } = options;
    const given = { ...(threads !== undefined && { threads }), ...(signal && { signal }) };
    const model = await NetworkModel.open(zeroshot, finetuned, given);
    const engine = new Engine(threads === undefined ? {} : { threads });
    try {
      let classes = 0;
      for (const set of sets) {
        const [outputs] = await forward(model, set, 1, new Uint8Array(rowBytes(set)), [0], signal);
        classes = outputs!.length;
        checkLabels(set, classes, "Labels are the classes' numbers in the head's order.");
      }
      return new PictureEvaluator(model, engine, classes, sets, await modelIdentities([zeroshot, finetuned]));
    } catch (error) {
      engine.close();
      await model[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** `result[k][s]` is alpha k on set s. One call at a time. Rejects with ERR_EVALUATION where outputs are not finite. */
  async evaluate(alphas: readonly number[], signal?: AbortSignal): Promise<LogitEvaluation[][]> {
    const bySet: LogitEvaluation[][] = [];
    for (const set of this.sets) bySet.push(await this.#evaluateSet(set, alphas, signal));
    return alphas.map((_, k) => bySet.map((evaluations) => evaluations[k]!));
  }

  async #evaluateSet(
    set: EvaluationSet,
    alphas: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<LogitEvaluation[]> {
    const { samples, labels } = set;
    const tally = new PathTally(samples, this.#classes, alphas, this.#ends.get(set));
    const layout = new ArenaLayout();
    const meter = new LogitMeter(layout, batchPictures, this.#classes);
    using arena = new Arena(layout);
    for (let from = 0; from < samples; from += batchPictures) {
      const rows = Math.min(batchPictures, samples - from);
      const pixels = new Uint8Array(rows * rowBytes(set));
      await set.readFeatures(from, rows, pixels);
      const logits = await forward(this.#model, set, rows, pixels, tally.alphas, signal);
      await tally.add(meter, this.#engine, arena, labels, from, rows, logits, signal);
    }
    const evaluations = tally.evaluations(alphas, set);
    this.#ends.set(set, tally.ends);
    return evaluations;
  }

  async close(): Promise<void> {
    this.#engine.close();
    await this.#model[Symbol.asyncDispose]();
  }
}

const rowBytes = ({ dimension, featureDtype }: EvaluationSet): number => dimension * itemSize(featureDtype);

/** Logits of each alpha, [rows, classes]. */
async function forward(
  model: NetworkModel,
  { dimension, shape = [dimension], featureDtype }: EvaluationSet,
  rows: number,
  data: Uint8Array,
  alphas: readonly NetworkPoint[],
  signal: AbortSignal | undefined,
): Promise<Float32Array[]> {
  const inputs = new Map([['pixel_values', { dtype: featureDtype, shape: [rows, ...shape], data }]]);
  const results = await model.forward(inputs, alphas, { outputs: ['logits'], ...(signal && { signal }) });
  return results.map((outputs) => outputs.get('logits')!.data);
}
