import { WisemergeError } from '../errors.js';
import type { EvaluatedSet, Evaluator, PointEvaluator } from '../eval/evaluator.js';
import type { Approximation } from '../eval/logit-path.js';
import { analyse } from '../selection/analysis.js';
import { evidenceOf } from '../selection/criteria.js';
import { checkCurves } from '../selection/curves.js';
import { parseRule } from '../selection/rule.js';
import { checkRule, decide } from '../selection/rules.js';
import { checkSearch, type Found, nextAlphas, type Search } from '../selection/search.js';
import { inTurns } from '../statistics/turns.js';
import { version } from '../version.js';
import { compareOnce, type DivergenceEntry, isDivergence } from './compare-once.js';
import { bitsOf, curveOf, type Evaluated, record } from './evaluated.js';
import type { RunOptions } from './head-sweep.js';
import type { Journal } from './journal.js';
import { checkLayerRule, type LayerRun, sweepLayers } from './layer-sweep.js';
import { robustnessOfSweep } from './references.js';
import { type SweepResult, type SweptSet, writeResult } from './result.js';
import {
  analysisOptions,
  checkSplit,
  decisive,
  openSweepDirectory,
  readOutcomes,
  saveOutcome,
} from './sweep-directory.js';
import type { ResolvedSweep } from './sweep-options.js';

export interface ModelProgress {
  /** Just evaluated; absent where alphas are those of layers. */
  readonly alpha?: number;
  /** Alphas evaluated so far, and those known to be wanted: a search may go on; by layer its end is not known. */
  readonly alphasDone: number;
  readonly alphasTotal?: number;
}

/**
 * Searches for alpha with any evaluator: the grid, then refinement around the best. Every model that was
 * evaluated is journalled; a run that was stopped goes on with the next one and gives the same result.
 *
 * Rejects with ERR_USAGE, ERR_SWEEP_FILE, ERR_REPORT_SET, ERR_OUTPUT_EXISTS, ERR_SWEEP_CHANGED,
 * ERR_SWEEP_RESULT, ERR_IO, ERR_EVALUATION where the evaluator gives no score, with what the evaluator throws, or
 * with the abort reason.
 */
export async function sweepWith(
  evaluator: Evaluator | PointEvaluator,
  config: ResolvedSweep,
  options: RunOptions<ModelProgress>,
): Promise<SweepResult> {
  const { out, resume = false, force = false, references } = options;
  const { sets } = evaluator;
  const search = searchOf(config);
  checkSearch(search);
  if (!config.metrics) {
    throw new WisemergeError('ERR_SWEEP_FILE', 'metrics: false is for heads, not for whole models', {
      hint: 'Whatever evaluates a whole model decides which metrics it gives: leave `metrics` out.',
    });
  }
  const rule = parseRule(config.rule);
  checkRule(rule, config.alphas, sets);
  checkSplit(sets, config.folds);
  // `sweep` lets networks alone come here with such a search.
  const byLayer = config.search === 'layers' || config.search === 'linear';
  if (byLayer) checkLayerRule(rule);
  const identity = {
    ...decisive(config),
    evaluator: evaluator.identity,
    fingerprints: sets.map(({ fingerprint }) => fingerprint),
    ...(references && { references }),
  };
  const journal = await openSweepDirectory<Evaluated | DivergenceEntry>(out, identity, { resume, force });
  try {
    const evaluated = await runSearch(evaluator, config, search, journal, options);
    const layers =
      byLayer && 'tensors' in evaluator
        ? await sweepLayers(evaluator, config, evaluated, layerRun(journal, options))
        : undefined;
    const divergence = await compareOnce(config, journal, options.signal, options.onCompare);
    const swept = await saveSets(out, sets, evaluated);
    const alphas = evaluated.map(({ alpha }) => alpha);
    const steps = analyse(alphas, await readOutcomes(out, swept), analysisOptions(config));
    const analysis = await inTurns(steps, options.signal);
    const result: SweepResult = {
      format: 'wisemerge-sweep',
      version: 1,
      wisemerge: version,
      config,
      head: null,
      alphas,
      sets: swept,
      likelihood: null,
      ...(layers && { layers: layers.outcome }),
      ...(divergence && { divergence }),
      ...(references && {
        robustness: robustnessOfSweep(references, swept, alphas, analysis.selection.index),
      }),
      analysis,
      seconds: evaluated.reduce((sum, { seconds }) => sum + seconds, layers?.seconds ?? 0),
    };
    await writeResult(out, result);
    return result;
  } finally {
    await journal.close();
  }
}

function layerRun(
  journal: Journal<Evaluated | DivergenceEntry>,
  { signal, onProgress }: RunOptions<ModelProgress>,
): LayerRun {
  return {
    known: journal.entries.filter(
      (entry): entry is Evaluated => !isDivergence(entry) && entry.point !== undefined,
    ),
    add: (entry) => journal.add(entry),
    ...(signal && { signal }),
    progress: (done) => onProgress?.({ alphasDone: done }),
  };
}

function searchOf({ search, alphas, tolerance, minGain, budget }: ResolvedSweep): Search {
  return { kind: search, grid: alphas, tolerance, minGain, ...(budget !== undefined && { budget }) };
}

/** Gives what was found, by ascending alpha. */
async function runSearch(
  evaluator: Evaluator,
  config: ResolvedSweep,
  search: Search,
  journal: Journal<Evaluated | DivergenceEntry>,
  options: RunOptions<ModelProgress>,
): Promise<Evaluated[]> {
  const earlier = journal.entries.filter((entry): entry is Evaluated => !isDivergence(entry) && !entry.point);
  const known = new Map(earlier.map((entry) => [entry.alpha, entry]));
  const rule = parseRule(config.rule);
  // Rounds are gone through from the start, whatever is known already: the next alphas follow from whole rounds.
  let found: Evaluated[] = [];
  let wanted = nextAlphas(search, undefined);
  while (wanted.length > 0) {
    const unknown = wanted.filter((alpha) => !known.has(alpha));
    // What is interpolated depends on which alphas are asked for together: all, or none.
    const missing = search.kind === 'chebyshev' && unknown.length > 0 ? wanted : unknown;
    const before = found.length + wanted.length - missing.length;
    await evaluateAll(evaluator, missing, config.concurrency, journal, known, options, before);
    found = [...found, ...wanted.map((alpha) => known.get(alpha)!)].sort((a, b) => a.alpha - b.alpha);
    wanted = nextAlphas(search, choose(evaluator.sets, found));
  }
  return found;

  function choose(sets: readonly EvaluatedSet[], all: readonly Evaluated[]): Found {
    const alphas = Float64Array.from(all, ({ alpha }) => alpha);
    const curves = sets.map((set, s) => curveOf(set, s, all));
    checkCurves({ alphas, sets: curves });
    const { criterion, index } = decide(rule, alphas, curves.map(evidenceOf));
    return { alphas, criterion, index };
  }
}

/** Evaluates some alphas, `concurrency` batches at once, and journals each as it is done. */
async function evaluateAll(
  evaluator: Evaluator,
  alphas: readonly number[],
  concurrency: number,
  journal: Journal<Evaluated | DivergenceEntry>,
  known: Map<number, Evaluated>,
  { signal, onProgress }: RunOptions<ModelProgress>,
  before: number,
): Promise<void> {
  const failed = new AbortController();
  const stop = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]);
  const waiting = [...alphas];
  let done = before;
  const work = async () => {
    while (waiting.length > 0) {
      stop.throwIfAborted();
      const batch = waiting.splice(0, Math.max(1, evaluator.batch));
      const began = performance.now();
      const results = await evaluator.evaluate(batch, stop);
      const seconds = (performance.now() - began) / 1000 / batch.length;
      const entries = batch.map((alpha, k) => record({ alpha }, seconds, evaluator.sets, results[k]));
      for (const entry of entries) {
        await journal.add(entry);
        known.set(entry.alpha, entry);
        onProgress?.({ alpha: entry.alpha, alphasDone: ++done, alphasTotal: before + alphas.length });
      }
    }
  };
  const workers = Array.from({ length: Math.min(concurrency, evaluator.calls, alphas.length) }, () =>
    work().catch((error) => {
      failed.abort(error);
      throw error;
    }),
  );
  const outcomes = await Promise.allSettled(workers);
  signal?.throwIfAborted();
  // The others were stopped because of the first failure, which is the reason of `failed`.
  if (outcomes.some(({ status }) => status === 'rejected')) throw failed.signal.reason;
}

async function saveSets(
  out: string,
  sets: readonly EvaluatedSet[],
  all: readonly Evaluated[],
): Promise<SweptSet[]> {
  const swept: SweptSet[] = [];
  for (const [s, { name, role, kind, fingerprint, labels, groups }] of sets.entries()) {
    const { samples } = all[0]!.sets[s]!;
    const correct = bitsOf(name, s, all);
    const outcome = correct && { correct, ...(labels && { labels }), ...(groups && { groups }) };
    swept.push({
      ...{ name, role, kind, samples, fingerprint },
      outcome: outcome ? await saveOutcome(out, s, name, outcome) : null,
      metrics: all.map(({ sets: results }) => results[s]!.metrics),
      ...worstOf(all.flatMap(({ sets: results }) => results[s]!.approximation ?? [])),
    });
  }
  return swept;
}

function worstOf(all: readonly Approximation[]): { approximation?: Approximation } {
  if (all.length === 0) return {};
  const most = (of: keyof Approximation) => Math.max(...all.map((one) => one[of]));
  const [forwards, inDoubt, direct] = [most('forwards'), most('inDoubt'), most('direct')];
  return { approximation: { forwards, inDoubt, direct } };
}
