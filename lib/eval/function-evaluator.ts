import { WisemergeError } from '../errors.js';
import { merge } from '../merge/merge.js';
import type { EvaluatedSet, Evaluator, SetEvaluation } from './evaluator.js';
import type { Metrics } from './metrics.js';
import { modelIdentities } from './model-identity.js';
import { type CandidateTensor, ModelPair } from './model-pair.js';
import { type NamedSet, openNamedSet } from './set-files.js';

/** The model at one alpha. It exists in memory, a tensor at a time. */
export interface Candidate {
  readonly alpha: number;
  readonly tensors: readonly CandidateTensor[];
  /** Bytes of a tensor, little-endian and in C order, in the dtype that `tensors` tells. */
  readTensor(name: string): Promise<Uint8Array>;
  /** Writes the model to a directory, as `merge` does. */
  save(directory: string): Promise<void>;
}

/** How good a model is on one set: a score in [0, 1], better when higher, or which samples are right. */
export type Score =
  | number
  | {
      /** Default: the share of `correct`. Where both are given they must be equal, but for rounding. */
      readonly score?: number;
      /** Per sample, in the same order for every alpha: gives intervals and cross-validation. */
      readonly correct?: ArrayLike<boolean | number>;
      /** Further figures, for the record. */
      readonly metrics?: Partial<Metrics>;
    };

/** Evaluates a model; gives a score for every set, by name. */
export type Evaluate = (
  candidate: Candidate,
  context: { readonly signal: AbortSignal | undefined },
) => Promise<Readonly<Record<string, Score>>>;

/** What the models and sets are. */
export interface ModelSets {
  readonly zeroshot: string;
  readonly finetuned: string;
  readonly sets: readonly NamedSet[];
  readonly classNames?: readonly string[] | undefined;
  readonly memory?: number | undefined;
  readonly threads?: number | undefined;
}

/** In messages: an alpha, or words. */
export type EvaluatedModel = number | string;

export const labelOf = (model: EvaluatedModel): string =>
  typeof model === 'number' ? `alpha ${model}` : model;

/** Evaluation by a function of the caller. */
export class FunctionEvaluator implements Evaluator {
  readonly sets: readonly EvaluatedSet[];
  readonly identity: unknown;
  readonly batch = 1;
  readonly calls = Number.POSITIVE_INFINITY;
  readonly #models: ModelSets;
  readonly #pair: ModelPair;
  readonly #evaluate: Evaluate;

  private constructor(
    models: ModelSets,
    sets: readonly EvaluatedSet[],
    pair: ModelPair,
    evaluate: Evaluate,
    identity: unknown,
  ) {
    this.identity = identity;
    this.#models = models;
    this.sets = sets;
    this.#pair = pair;
    this.#evaluate = evaluate;
  }

  /** Rejects with ERR_INCOMPATIBLE, ERR_DATA, and what opening a checkpoint throws. */
  static async open(models: ModelSets, evaluate: Evaluate, signal?: AbortSignal): Promise<FunctionEvaluator> {
    const { zeroshot, finetuned, memory, threads, classNames } = models;
    const sets = await Promise.all(models.sets.map((set) => openNamedSet(set, classNames)));
    const pair = await ModelPair.open(zeroshot, finetuned, {
      ...(memory !== undefined && { memory }),
      ...(threads !== undefined && { threads }),
      ...(signal && { signal }),
    });
    const identity = { models: await modelIdentities([zeroshot, finetuned]) };
    return new FunctionEvaluator(models, sets, pair, evaluate, identity);
  }

  async evaluate(alphas: readonly number[], signal?: AbortSignal): Promise<SetEvaluation[][]> {
    const evaluations: SetEvaluation[][] = [];
    for (const alpha of alphas) {
      signal?.throwIfAborted();
      const scores = await this.#evaluate(this.#candidate(alpha, signal), { signal });
      evaluations.push(evaluationsOf(alpha, this.sets, scores));
    }
    return evaluations;
  }

  #candidate(alpha: number, signal: AbortSignal | undefined): Candidate {
    const { zeroshot, finetuned, threads } = this.#models;
    return {
      alpha,
      tensors: this.#pair.tensors,
      readTensor: (name) => this.#pair.readTensor(name, alpha, signal),
      save: async (out) => {
        await merge({
          ...{ zeroshot, finetuned, alpha, out, extrapolate: true },
          ...(threads !== undefined && { threads }),
          ...(signal && { signal }),
        });
      },
    };
  }

  async close(): Promise<void> {
    await this.#pair.close();
  }
}

/** Scores by set. Throws ERR_EVALUATION naming the model (an alpha, or in words) and the set at fault. */
export function evaluationsOf(
  model: EvaluatedModel,
  sets: readonly EvaluatedSet[],
  scores: unknown,
): SetEvaluation[] {
  const refuse = (why: string) =>
    new WisemergeError('ERR_EVALUATION', `${labelOf(model)}: ${why}`, {
      hint: 'The evaluation gives one object with a number, or { "correct": […] }, for the name of every set.',
      ...(typeof model === 'number' && { details: { alpha: model } }),
    });
  if (typeof scores !== 'object' || scores === null) throw refuse('the evaluation did not give an object');
  return sets.map(({ name }) => {
    const score = (scores as Record<string, unknown>)[name];
    if (typeof score === 'number') return { score };
    if (typeof score !== 'object' || score === null) throw refuse(`there is no score for set ${name}`);
    const { correct, score: value, metrics } = score as Exclude<Score, number>;
    if (value !== undefined && typeof value !== 'number') throw refuse(`set ${name}: score is not a number`);
    if (correct !== undefined && (typeof correct !== 'object' || correct === null)) {
      throw refuse(`set ${name}: correct is not an array`);
    }
    if (metrics !== undefined && !isMetrics(metrics)) {
      throw refuse(`set ${name}: metrics is not an object of numbers`);
    }
    return {
      ...(correct !== undefined &&
        bitsOf(correct, (i) => refuse(`set ${name}: correct[${i}] is neither true (1) nor false (0)`))),
      ...(value !== undefined && { score: value }),
      ...(metrics !== undefined && { metrics }),
    };
  });
}

/** An object of figures, some of which come in pairs, as `disagreement` does. */
function isMetrics(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).every((one) => Number.isFinite(one) || isMetrics(one));
}

function bitsOf(
  correct: ArrayLike<boolean | number>,
  refuse: (i: number) => WisemergeError,
): { correct: Uint32Array; samples: number } {
  const words = new Uint32Array(Math.ceil(correct.length / 32));
  for (let i = 0; i < correct.length; i++) {
    const right = Number(correct[i]);
    if (right !== 0 && right !== 1) throw refuse(i);
    if (right === 1) words[i >>> 5]! |= 1 << (i & 31);
  }
  return { correct: words, samples: correct.length };
}
