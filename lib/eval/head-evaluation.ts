import type { CorrectIntervals } from './correct-intervals.js';
import type { Groups } from './data/groups.js';
import { type FeatureSet, type HeadSession, maxAlphas } from './head-session.js';
import { type Metrics, metricColumns, metricsOf, populationOf } from './metrics.js';

export interface HeadEvaluation {
  /** Where each sample is classified correctly: the exact curve of accuracy. */
  readonly intervals: CorrectIntervals;
  /** Of each alpha that was asked for. */
  readonly metrics: readonly Metrics[];
}

export interface EvaluateHeadOptions {
  /** Lowest and highest alpha of the curve; 0 and 1 are always inside. Default: [0, 1]. */
  readonly domain?: readonly [number, number];
  readonly signal?: AbortSignal;
  /** Called after each batch with the samples done so far. */
  readonly onSamples?: (done: number) => void;
}

/**
 * One pass over a set: the exact accuracy at every alpha of the domain, and all metrics at some. Logits are
 * affine in alpha, so both come from the logits of the two ends (reference: docs/numerics.md, "Heads").
 */
export async function evaluateHead(
  session: HeadSession,
  set: FeatureSet & { readonly groups?: Groups },
  alphas: readonly number[],
  options: EvaluateHeadOptions = {},
): Promise<HeadEvaluation> {
  const { classes } = session.head;
  const { arena, engine } = session;
  const domain = domainOf(alphas, options.domain);
  const lo = new Float64Array(set.samples);
  const hi = new Float64Array(set.samples);
  const open = new Uint8Array(set.samples);
  // Sums go on from batch to batch in native code, so that they do not depend on where batches end.
  const sums = new Float64Array(alphas.length * metricColumns);
  const predicted = new Uint32Array(alphas.length * classes);
  await session.forEach(
    set,
    async (batch) => {
      const at = [batch.lo, batch.hi, batch.open];
      await engine.headPath(arena.buffer, [...batch.numbers, ...domain, ...at], options.signal);
      lo.set(arena.doubles(batch.lo, batch.rows), batch.first);
      hi.set(arena.doubles(batch.hi, batch.rows), batch.first);
      open.set(arena.bytes(batch.open, batch.rows), batch.first);
      for (let k = 0; k < alphas.length; k += maxAlphas) {
        const some = Float64Array.from(alphas.slice(k, k + maxAlphas));
        const sumView = arena.doubles(session.sums, some.length * metricColumns);
        const countView = arena.counts(session.predicted, some.length * classes);
        sumView.set(sums.subarray(k * metricColumns, (k + some.length) * metricColumns));
        countView.set(predicted.subarray(k * classes, (k + some.length) * classes));
        const numbers = [...batch.numbers, ...at, session.sums, session.predicted, -1];
        await engine.headMetrics(arena.buffer, numbers, some, options.signal);
        sums.set(sumView, k * metricColumns);
        predicted.set(countView, k * classes);
      }
      options.onSamples?.(batch.first + batch.rows);
    },
    options.signal,
  );
  const intervals: CorrectIntervals = { domain, lo, hi, open };
  const population = populationOf(set.labels, classes, set.groups);
  const metrics = alphas.map((alpha, k) =>
    metricsOf(
      alpha,
      sums.subarray(k * metricColumns, (k + 1) * metricColumns),
      predicted.subarray(k * classes, (k + 1) * classes),
      intervals,
      population,
    ),
  );
  return { intervals, metrics };
}

/** From the lowest to the highest alpha that anybody asks for; 0 and 1 are always inside. */
export function domainOf(
  alphas: readonly number[],
  [from, to]: readonly [number, number] = [0, 1],
): readonly [number, number] {
  return [Math.min(0, from, ...alphas), Math.max(1, to, ...alphas)];
}

/**
 * Metrics of one model, by a matrix product with its own interpolated weights: what the path's metrics at that
 * alpha are up to the rounding of the weights. The session was made with that `alpha`.
 */
export async function evaluateModel(
  session: HeadSession,
  set: FeatureSet & { readonly groups?: Groups },
  options: EvaluateHeadOptions = {},
): Promise<Metrics> {
  const { metrics } = await evaluateHead(session, set, [0], options);
  return metrics[0]!;
}
