import type { SetKind, SetRole } from './data/evaluation-set.js';
import type { Groups } from './data/groups.js';
import type { Approximation } from './logit-path.js';
import type { Metrics } from './metrics.js';
import type { NetworkPoint } from './network.js';

/** A set of samples as the choice of alpha sees it. */
export interface EvaluatedSet {
  readonly name: string;
  readonly role: SetRole;
  readonly kind: SetKind;
  /** 0 where it is not known. */
  readonly samples: number;
  /** Changes when the samples do. */
  readonly fingerprint: string;
  /** Class of each sample, to stratify folds. */
  readonly labels?: Int32Array;
  /** Kept together when samples are drawn or split. */
  readonly groups?: Groups;
}

/** What one model did on one set: which samples are right, or else a score. */
export interface SetEvaluation {
  /**
   * Bit i % 32 of word floor(i / 32) for sample i, further bits zero. Without it there are no intervals and no
   * cross-validation, only the score.
   */
  readonly correct?: Uint32Array;
  /** Of `correct`, where the set does not tell. */
  readonly samples?: number;
  /** In [0, 1], better when it is higher. Default: the share of `correct`, and no other where there is one. */
  readonly score?: number;
  readonly metrics?: Partial<Metrics>;
  /** Where outputs were interpolated: how far they can be trusted. */
  readonly approximation?: Approximation;
}

/** Anything that can tell how good the model at an alpha is. */
export interface Evaluator {
  readonly sets: readonly EvaluatedSet[];
  /** What decides the results besides alpha, as JSON: a sweep does not resume with another one. */
  readonly identity: unknown;
  /** Alphas that it takes at once with profit. */
  readonly batch: number;
  /** Calls of `evaluate` that may be under way at the same time. */
  readonly calls: number;
  /** Evaluates models on all sets: `result[k][s]` is alpha k on set s. */
  evaluate(alphas: readonly number[], signal?: AbortSignal): Promise<readonly (readonly SetEvaluation[])[]>;
  close(): Promise<void>;
}

/** An evaluator that takes alphas by tensor, too. */
export interface PointEvaluator extends Evaluator {
  /**
   * Tensors of the models that differ and that results depend on, in the order in which the network uses them; complete
   * after the first evaluation.
   */
  readonly tensors: readonly string[];
  evaluate(
    points: readonly NetworkPoint[],
    signal?: AbortSignal,
  ): Promise<readonly (readonly SetEvaluation[])[]>;
}
