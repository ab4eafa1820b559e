import { WisemergeError } from '../errors.js';
import { type ConvexPoint, convexMinimum, settled } from './convex-minimum.js';
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
  /** What logits are divided by; 1 where only alpha was sought, null where no temperature is the best. */
  readonly temperature: number | null;
  /** Weighted mean of the sets' mean negative log-likelihoods there, in nats; without a best temperature its limit. */
  readonly nll: number;
  /** Passes over the logits. */
  readonly passes: number;
  /** False when alpha was held at an end of the domain. */
  readonly interior: boolean;
  /** Whether the search ended where nothing lower is left, to the precision of single-precision exponentials. */
  readonly converged: boolean;
  /** A sentence for people: why there is no best temperature, or that the search did not end; else null. */
  readonly note: string | null;
}

export interface LikelihoodOptions {
  readonly domain?: readonly [number, number];
  readonly signal?: AbortSignal;
}

export interface CalibratedOptions extends LikelihoodOptions {
  /** What `bestLikelihood` found for the same sets and domain; sought anew where it is not given. */
  readonly alone?: LikelihoodOptimum;
}

interface Moments {
  readonly f: number;
  readonly b: number;
  readonly g: number;
  readonly bb: number;
  readonly bg: number;
  readonly gg: number;
}

const maxSteps = 100;

/**
 * The alpha with the smallest negative log-likelihood. -log softmax of logits that are affine in alpha is convex in
 * alpha (log-sum-exp of an affine map less an affine term), so that there is one minimum and the slope tells its side.
 */
export async function bestLikelihood(
  session: HeadSession,
  sets: readonly WeightedSet[],
  options: LikelihoodOptions = {},
): Promise<LikelihoodOptimum> {
  const [start, end] = options.domain ?? [0, 1];
  let passes = 0;
  const at = async (alpha: number): Promise<ConvexPoint> => {
    passes++;
    const { f, g, gg } = await moments(session, sets, 1, alpha, options.signal);
    return { x: alpha, f, slope: g, curvature: gg };
  };
  const held = ({ x, f }: ConvexPoint): LikelihoodOptimum => ({
    ...{ alpha: x, temperature: 1, nll: f, passes },
    ...{ interior: false, converged: true, note: null },
  });
  const atStart = await at(start);
  if (atStart.slope >= 0) return held(atStart);
  const atEnd = await at(end);
  if (atEnd.slope <= 0) return held(atEnd);
  const { point, converged } = await convexMinimum(at, atStart, atEnd, 1);
  return {
    ...{ alpha: point.x, temperature: 1, nll: point.f, passes },
    ...{ interior: point.x > start && point.x < end, converged, note: converged ? null : unfinished },
  };
}

/**
 * The alpha and temperature with the smallest negative log-likelihood together. Logits
 * z(alpha) / T = b z0 + g (z1 - z0) with b = 1/T and g = alpha/T are linear in (b, g): jointly convex. Damped
 * Newton in (b, g) from the best alpha alone at its best scale: at any other scale softmax may be saturated, and
 * the slope no guide. Where the alpha found leaves the domain, the best is along an end, alpha = g/b, which is
 * a line through the origin and convex as well. The origin is the limit of high temperatures: all probabilities equal.
 */
export async function bestCalibrated(
  session: HeadSession,
  sets: readonly WeightedSet[],
  options: CalibratedOptions = {},
): Promise<LikelihoodOptimum> {
  const [start, end] = options.domain ?? [0, 1];
  const alone = options.alone ?? (await bestLikelihood(session, sets, options));
  let passes = 0;
  const at = async (b: number, g: number) => {
    passes++;
    return moments(session, sets, b, g, options.signal);
  };
  const separated = separation(sets);
  const origin = await at(0, 0);
  const falls = (alpha: number): boolean => {
    const point = along(origin, alpha, 0);
    return point.slope < 0 && !settled(point);
  };
  // The slope at the origin is linear in alpha: what falls at neither end falls nowhere between.
  const from = [alone.alpha, start, end].find(falls);
  if (from === undefined)
    return {
      ...{ alpha: alone.alpha, temperature: null, nll: origin.f, passes, interior: alone.interior },
      ...{ converged: true, note: hot },
    };
  const seek = (alpha: number): Promise<Scaled> => bestScale(at, origin, alpha, separated);
  const found: Scaled[] = [await seek(from)];
  if (!found[0]!.cold) {
    const free = await newton(at, found[0]!, separated);
    const inside = free.b > 0 && free.alpha >= start && free.alpha <= end;
    found.push(...(inside ? [free] : [await seek(start), await seek(end)]));
  }
  const best = found.reduce((a, b) => (b.cold || (!a.cold && b.nll <= a.nll) ? b : a));
  const interior = best.alpha > start && best.alpha < end;
  if (best.cold)
    return {
      ...{
        alpha: best.alpha,
        temperature: null,
        nll: 0,
        passes,
        interior,
        converged: true,
        note: cold(best.alpha),
      },
    };
  return {
    ...{ alpha: best.alpha, temperature: 1 / best.b, nll: best.nll, passes, interior },
    ...{ converged: best.converged, note: best.converged ? null : unfinished },
  };
}

const unfinished =
  'The search for the smallest negative log-likelihood did not converge; this is the best that it saw.';
const hot =
  'No temperature is best: the higher it is, the likelier are these labels, up to equal probabilities for all classes.';
const cold = (alpha: number): string =>
  `No temperature is best: all samples are right at alpha ${Number(alpha.toFixed(4))}, and the lower it is, the likelier are their labels.`;

type At = (b: number, g: number) => Promise<Moments>;
type Separated = (nll: number) => boolean;

/** An alpha at a scale of the logits. */
interface Scaled {
  readonly alpha: number;
  readonly b: number;
  readonly nll: number;
  readonly converged: boolean;
  /** All samples are right, so that any larger scale is better. */
  readonly cold: boolean;
}

/** Moments along the line of one alpha. */
function along({ f, b, g, bb, bg, gg }: Moments, alpha: number, x: number): ConvexPoint {
  return { x, f, slope: b + alpha * g, curvature: bb + 2 * alpha * bg + alpha * alpha * gg };
}

/**
 * Whether a likelihood is so good that no sample can be wrong: a wrong one has a probability of at most 1/2. Right
 * samples stay so at any scale, and their likelihoods grow with it.
 */
function separation(sets: readonly WeightedSet[]): Separated {
  const used = sets.filter(({ weight = 1 }) => weight > 0);
  const total = used.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const most = Math.max(...used.map(({ set, weight = 1 }) => (total * set.samples) / weight));
  return (nll) => nll * most < Math.LN2;
}

/** The best b at a fixed alpha. */
async function bestScale(at: At, origin: Moments, alpha: number, separated: Separated): Promise<Scaled> {
  const point = async (b: number) => along(await at(b, b * alpha), alpha, b);
  let low = along(origin, alpha, 0);
  if (low.slope >= 0 || settled(low)) return { alpha, b: 0, nll: low.f, converged: true, cold: false };
  let high = await point(1);
  for (; high.slope <= 0; high = await point(4 * high.x)) {
    if (separated(high.f)) return { alpha, b: high.x, nll: high.f, converged: true, cold: true };
    if (settled(high)) return { alpha, b: high.x, nll: high.f, converged: true, cold: false };
    low = high;
  }
  const { point: best, converged } = await convexMinimum(point, low, high, 0);
  return { alpha, b: best.x, nll: best.f, converged, cold: separated(best.f) };
}

/** Damped Newton from a point, wherever it leads. */
async function newton(at: At, from: Scaled, separated: Separated): Promise<Scaled> {
  let [b, g] = [from.b, from.b * from.alpha];
  let now = await at(b, g);
  for (let step = 0; ; step++) {
    const [db, dg] = newtonStep(now);
    // Minus what the step promises, twice.
    const slope = now.b * db + now.g * dg;
    const cold = separated(now.f);
    const end = (converged: boolean): Scaled => ({ alpha: g / b, b, nll: now.f, converged, cold });
    if (cold || !(slope < -1e-13 * (1 + now.f))) return end(true);
    if (step >= maxSteps) return end(false);
    const next = await descend(at, now, b, g, [db, dg]);
    // Where rounding hides a small promise, it is nothing that anybody would see.
    if (!next) return end(slope > -1e-7 * (1 + now.f));
    ({ b, g, now } = next);
  }
}

/** Minus the inverse Hessian times the gradient, the Hessian held positive in whatever units b and g are. */
function newtonStep({ b, g, bb, bg, gg }: Moments): [number, number] {
  const [p, q] = [bb * (1 + 1e-7), gg * (1 + 1e-7)];
  const determinant = p * q - bg * bg;
  if (determinant > 0) return [-(q * b - bg * g) / determinant, -(p * g - bg * b) / determinant];
  return [p > 0 ? -b / p : 0, q > 0 ? -g / q : 0];
}

/** Halves the step until the likelihood is not worse; undefined where no step helps. */
async function descend(at: At, now: Moments, b: number, g: number, step: [number, number]) {
  for (let share = 1; share > 1e-6; share /= 2) {
    const [nextB, nextG] = [b + share * step[0], g + share * step[1]];
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
