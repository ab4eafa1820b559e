import { WisemergeError } from '../errors.js';
import type { EvaluatedSet, SetEvaluation } from '../eval/evaluator.js';
import type { Approximation } from '../eval/logit-path.js';
import type { CurveSet } from '../selection/curves.js';
import { BitMatrix, bitCount } from '../statistics/bits.js';
import type { SetMetrics } from './result.js';

/** What one model did on all sets. */
export interface Evaluated {
  /** Of a point, the mean over its groups. */
  readonly alpha: number;
  /** Of a search by layer: an alpha for each group. */
  readonly point?: readonly number[];
  readonly seconds: number;
  readonly sets: readonly {
    readonly metrics: SetMetrics;
    readonly approximation?: Approximation;
    readonly samples: number;
    /** The words of the bits, little-endian, in base64: where results of samples are known. */
    readonly correct?: string;
  }[];
}

/** A score and the share of correct samples may differ by as much as rounding of what is printed. */
const sameScore = 1e-6;

/** Checks what an evaluator gave for one model. Throws ERR_EVALUATION. */
export function record(
  { alpha, point }: Pick<Evaluated, 'alpha' | 'point'>,
  seconds: number,
  sets: readonly EvaluatedSet[],
  results: readonly SetEvaluation[] | undefined,
  model = `alpha ${alpha}`,
): Evaluated {
  return {
    alpha,
    ...(point && { point }),
    seconds,
    sets: sets.map((set, s) => {
      const { correct, score, metrics, approximation, samples = set.samples } = results?.[s] ?? {};
      const approximated = approximation && { approximation };
      const refuse = (why: string, hint?: string) =>
        new WisemergeError('ERR_EVALUATION', `${model}, set ${set.name}: ${why}`, {
          ...(hint !== undefined && { hint }),
          details: { alpha, set: set.name },
        });
      if (score !== undefined && !(score >= 0 && score <= 1)) {
        throw refuse(`the score ${score} is not in [0, 1]`);
      }
      for (const [name, value] of Object.entries(metrics ?? {})) {
        // A journal is JSON, where NaN and infinities become null.
        if (typeof value === 'number' && !Number.isFinite(value)) throw refuse(`${name} is ${value}`);
      }
      if (!correct) {
        if (score === undefined) throw refuse('there is no score');
        return { metrics: { ...metrics, top1: score }, ...approximated, samples };
      }
      if (set.samples > 0 && samples !== set.samples) {
        throw refuse(`there are results of ${samples} samples; the set has ${set.samples}`);
      }
      const beyond = samples % 32 === 0 ? 0 : correct[correct.length - 1]! >>> (samples % 32);
      if (samples === 0 || correct.length !== Math.ceil(samples / 32) || beyond !== 0) {
        throw refuse(`there are no ${samples} results of samples`);
      }
      const hits = correct.reduce((sum, word) => sum + bitCount(word), 0);
      const share = hits / samples;
      if (score !== undefined && Math.abs(score - share) > sameScore) {
        throw refuse(
          `the score is ${score}, but ${hits} of ${samples} samples are right, ${Number(share.toFixed(6))}`,
          'Alpha is chosen by one number. Give `correct` alone, or the score alone, then without intervals, and other figures as `metrics`.',
        );
      }
      const bytes = Buffer.from(correct.buffer, correct.byteOffset, correct.byteLength);
      return {
        // And not the score: rounded, it would tell apart what is equal.
        metrics: { ...metrics, top1: share },
        ...approximated,
        samples,
        correct: bytes.toString('base64'),
      };
    }),
  };
}

/** Accuracies of a set by model, and results of samples where all models have them. Throws as `bitsOf`. */
export function curveOf(
  { name, role, kind, groups }: EvaluatedSet,
  s: number,
  all: readonly Evaluated[],
): CurveSet {
  const correct = bitsOf(name, s, all);
  const { samples } = all[0]!.sets[s]!;
  const accuracy = Float64Array.from(all, ({ sets }) => sets[s]!.metrics.top1);
  return {
    name,
    role,
    kind,
    samples,
    accuracy,
    ...(correct && { correct, ...(groups && { groups: groups.ids }) }),
  };
}

/** Undefined where some model has a score alone. Throws ERR_EVALUATION where models saw other samples. */
export function bitsOf(set: string, s: number, all: readonly Evaluated[]): BitMatrix | undefined {
  const { samples } = all[0]!.sets[s]!;
  const bits = new BitMatrix(all.length, samples);
  for (const [k, { alpha, sets }] of all.entries()) {
    const { correct, samples: seen } = sets[s]!;
    if (correct === undefined) return undefined;
    if (seen !== samples) {
      throw new WisemergeError(
        'ERR_EVALUATION',
        `set ${set} has ${samples} samples at alpha ${all[0]!.alpha} and ${seen} at alpha ${alpha}`,
        { hint: 'Every model must be evaluated on the same samples, in the same order.' },
      );
    }
    bits.row(k).set(new Uint32Array(Uint8Array.from(Buffer.from(correct, 'base64')).buffer));
  }
  return bits;
}
