import { WisemergeError } from '../errors.js';
import type { FeatureSet, HeadSession } from './head-session.js';

/** A set's part in a mean of likelihoods. */
export interface WeightedSet {
  readonly set: FeatureSet;
  /** Weight of the set's mean; default 1. */
  readonly weight?: number;
  /** Weight per sample, for folds; default all 1. */
  readonly sampleWeights?: Float64Array;
}

export interface LikelihoodOptimum {
  readonly alpha: number;
  /** What logits are divided by; 1 where only alpha was sought. */
  readonly temperature: number;
  /** Weighted mean of the sets' mean negative log-likelihoods there, in nats. */
  readonly nll: number;
  /** Passes over the logits. */
  readonly passes: number;
  /** False when alpha was held at an end of the domain. */
  readonly interior: boolean;
}

export interface LikelihoodOptions {
  readonly domain?: readonly [number, number];
  readonly signal?: AbortSignal;
}

interface Moments {
  readonly f: number;
  readonly b: number;
  readonly g: number;
  readonly bb: number;
  readonly bg: number;
  readonly gg: number;
}

// Single-precision exponentials limit gradients to about 3e-8 (docs/numerics.md).
const tolerance = 1e-7;
const maxPasses = 60;

/**
 * The alpha with the smallest negative log-likelihood: exact, because -log softmax of logits that are affine in
 * alpha is convex in alpha (log-sum-exp of an affine map less an affine term). Newton's method on the
 * derivative, kept inside a shrinking bracket.
 */
export async function bestLikelihood(
  session: HeadSession,
  sets: readonly WeightedSet[],
  options: LikelihoodOptions = {},
): Promise<LikelihoodOptimum> {
  const [start, end] = options.domain ?? [0, 1];
  let passes = 0;
  const at = (alpha: number) => {
    passes++;
    return moments(session, sets, 1, alpha, options.signal);
  };
  const atStart = await at(start);
  if (atStart.g >= 0) return { alpha: start, temperature: 1, nll: atStart.f, passes, interior: false };
  const atEnd = await at(end);
  if (atEnd.g <= 0) return { alpha: end, temperature: 1, nll: atEnd.f, passes, interior: false };
  let [low, high] = [start, end];
  let alpha = start + ((end - start) * atStart.g) / (atStart.g - atEnd.g);
  for (;;) {
    const { f, g, gg } = await at(alpha);
    const done = Math.abs(g) < tolerance * (1 + f) || high - low < 1e-12 || passes >= maxPasses;
    if (done) return { alpha, temperature: 1, nll: f, passes, interior: true };
    if (g < 0) low = alpha;
    else high = alpha;
    const newton = alpha - g / gg;
    alpha = newton > low && newton < high ? newton : (low + high) / 2;
  }
}

/**
 * The alpha and temperature with the smallest negative log-likelihood together. Logits
 * z(alpha) / T = b z0 + g (z1 - z0) with b = 1/T and g = alpha/T are linear in (b, g): jointly convex. Damped
 * Newton in (b, g); where the alpha found leaves the domain, along the violated end alpha = g/b, which is a
 * line through the origin and convex as well.
 */
export async function bestCalibrated(
  session: HeadSession,
  sets: readonly WeightedSet[],
  options: LikelihoodOptions = {},
): Promise<LikelihoodOptimum> {
  const [start, end] = options.domain ?? [0, 1];
  let passes = 0;
  const at = (b: number, g: number) => {
    passes++;
    return moments(session, sets, b, g, options.signal);
  };
  let [b, g] = [1, (start + end) / 2];
  let now = await at(b, g);
  while (passes < maxPasses && Math.hypot(now.b, now.g) > tolerance * (1 + now.f)) {
    const step = newtonStep(now);
    const next = await descend(at, now, b, g, step);
    if (!next) break;
    ({ b, g, now } = next);
  }
  const alpha = g / b;
  if (b > 0 && alpha >= start && alpha <= end) {
    return { alpha, temperature: 1 / b, nll: now.f, passes, interior: alpha > start && alpha < end };
  }
  const ends = [await bestScale(at, start), await bestScale(at, end)];
  const [first, last] = ends as [Scale, Scale];
  const best = first.nll <= last.nll ? { ...first, alpha: start } : { ...last, alpha: end };
  return { alpha: best.alpha, temperature: 1 / best.b, nll: best.nll, passes, interior: false };
}

type At = (b: number, g: number) => Promise<Moments>;
interface Scale {
  readonly b: number;
  readonly nll: number;
}

/** The best b at a fixed alpha: Newton along (1, alpha). */
async function bestScale(at: At, alpha: number): Promise<Scale> {
  let b = 1;
  let now = await at(b, b * alpha);
  for (let i = 0; i < 30; i++) {
    const slope = now.b + alpha * now.g;
    const curvature = now.bb + 2 * alpha * now.bg + alpha * alpha * now.gg;
    if (Math.abs(slope) < tolerance * (1 + now.f) || !(curvature > 0)) break;
    const next = await descend(at, now, b, b * alpha, [-slope / curvature, (-slope / curvature) * alpha]);
    if (!next) break;
    ({ b, now } = next);
  }
  return { b, nll: now.f };
}

/** Minus the inverse Hessian times the gradient, with enough added to the diagonal to make it positive. */
function newtonStep({ b, g, bb, bg, gg }: Moments): [number, number] {
  const ridge = Math.max(0, 1e-9 * (bb + gg) - Math.min(0, (bb * gg - bg * bg) / (bb + gg + 1e-300)));
  const [p, q] = [bb + ridge, gg + ridge];
  const determinant = p * q - bg * bg;
  if (!(determinant > 0)) return [-b, -g];
  return [-(q * b - bg * g) / determinant, -(p * g - bg * b) / determinant];
}

/** Halves the step until the likelihood is not worse and b is positive; undefined where no step helps. */
async function descend(at: At, now: Moments, b: number, g: number, step: [number, number]) {
  for (let share = 1; share > 1e-6; share /= 2) {
    const [nextB, nextG] = [b + share * step[0], g + share * step[1]];
    if (!(nextB > 0)) continue;
    const next = await at(nextB, nextG);
    if (next.f <= now.f + 1e-12 * Math.abs(now.f)) return { b: nextB, g: nextG, now: next };
  }
  return undefined;
}

/** Weighted mean over sets of the mean over samples, with derivatives. */
async function moments(
  session: HeadSession,
  sets: readonly WeightedSet[],
  b: number,
  g: number,
  signal: AbortSignal | undefined,
): Promise<Moments> {
  const { arena, engine } = session;
  const mean = new Float64Array(6);
  let total = 0;
  for (const { set, weight = 1, sampleWeights } of sets) {
    const sums = arena.doubles(session.sums, 6);
    sums.fill(0);
    await session.forEach(
      set,
      async (batch) => {
        if (sampleWeights) {
          arena
            .doubles(batch.weights, batch.rows)
            .set(sampleWeights.subarray(batch.first, batch.first + batch.rows));
        }
        const weights = sampleWeights ? batch.weights : -1;
        await engine.headMoments(arena.buffer, [...batch.numbers, weights, b, g, session.sums], signal);
      },
      signal,
    );
    const samples = sampleWeights ? sampleWeights.reduce((sum, w) => sum + w, 0) : set.samples;
    total += weight;
    for (let j = 0; j < 6; j++) mean[j]! += (weight * sums[j]!) / samples;
  }
  if (!(total > 0)) throw new WisemergeError('ERR_USAGE', 'the weights of the sets add up to nothing');
  const [f, db, dg, bb, bg, gg] = Array.from(mean, (sum) => sum / total) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { f, b: db, g: dg, bb, bg, gg };
}
