import { WisemergeError } from '../errors.js';
import type { EvaluatedSet, Evaluator, SetEvaluation } from '../eval/evaluator.js';
import type { Approximation } from '../eval/logit-path.js';
import { version } from '../version.js';
import { analyse } from './analysis.js';
import { BitMatrix, bitCount } from './bits.js';
import { compareOnce, type DivergenceEntry, isDivergence } from './compare-once.js';
import { evidenceOf } from './criteria.js';
import { type CurveSet, checkCurves } from './curves.js';
import type { RunOptions } from './head-sweep.js';
import type { Journal } from './journal.js';
import { robustnessOfSweep } from './references.js';
import { type SetMetrics, type SweepResult, type SweptSet, writeResult } from './result.js';
import { parseRule } from './rule.js';
import { checkRule, decide } from './rules.js';
import { checkSearch, type Found, nextAlphas, type Search } from './search.js';
import {
  analysisOptions,
  decisive,
  openSweepDirectory,
  readOutcomes,
  saveOutcome,
} from './sweep-directory.js';
import type { ResolvedSweep } from './sweep-options.js';

export interface ModelProgress {
  /** Just evaluated. */
  readonly alpha: number;
  /** Alphas evaluated so far, and those known to be wanted: a search may go on. */
  readonly alphasDone: number;
  readonly alphasTotal: number;
}

/** What one model did on all sets. */
interface Evaluated {
  readonly alpha: number;
  readonly seconds: number;
  readonly sets: readonly {
    readonly metrics: SetMetrics;
    readonly approximation?: Approximation;
    readonly samples: number;
    /** The words of the bits, little-endian, in base64: where results of samples are known. */
    readonly correct?: string;
  }[];
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
  evaluator: Evaluator,
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
  checkRule(parseRule(config.rule), config.alphas, sets);
  const identity = {
    ...decisive(config),
    evaluator: evaluator.identity,
    fingerprints: sets.map(({ fingerprint }) => fingerprint),
    ...(references && { references }),
  };
  const journal = await openSweepDirectory<Evaluated | DivergenceEntry>(out, identity, { resume, force });
  try {
    const evaluated = await runSearch(evaluator, config, search, journal, options);
    const divergence = await compareOnce(config, journal, options.signal, options.onCompare);
    const swept = await saveSets(out, sets, evaluated);
    const alphas = evaluated.map(({ alpha }) => alpha);
    const analysis = analyse(alphas, await readOutcomes(out, swept), analysisOptions(config));
    const result: SweepResult = {
      format: 'wisemerge-sweep',
      version: 1,
      wisemerge: version,
      config,
      head: null,
      alphas,
      sets: swept,
      likelihood: null,
      ...(divergence && { divergence }),
      ...(references && {
        robustness: robustnessOfSweep(references, swept, alphas, analysis.selection.index),
      }),
      analysis,
      seconds: evaluated.reduce((sum, { seconds }) => sum + seconds, 0),
    };
    await writeResult(out, result);
    return result;
  } finally {
    await journal.close();
  }
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
  const earlier = journal.entries.filter((entry): entry is Evaluated => !isDivergence(entry));
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
  let written = Promise.resolve();
  const work = async () => {
    while (waiting.length > 0) {
      stop.throwIfAborted();
      const batch = waiting.splice(0, Math.max(1, evaluator.batch));
      const began = performance.now();
      const results = await evaluator.evaluate(batch, stop);
      const seconds = (performance.now() - began) / 1000 / batch.length;
      const entries = batch.map((alpha, k) => record(alpha, seconds, evaluator.sets, results[k]));
      // One line after the other: two appends at once could mix.
      written = written.then(async () => {
        for (const entry of entries) {
          await journal.add(entry);
          known.set(entry.alpha, entry);
          onProgress?.({ alpha: entry.alpha, alphasDone: ++done, alphasTotal: before + alphas.length });
        }
      });
      await written;
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

function record(
  alpha: number,
  seconds: number,
  sets: readonly EvaluatedSet[],
  results: readonly SetEvaluation[] | undefined,
): Evaluated {
  return {
    alpha,
    seconds,
    sets: sets.map((set, s) => {
      const { correct, score, metrics, approximation, samples = set.samples } = results?.[s] ?? {};
      const approximated = approximation && { approximation };
      const refuse = (why: string) =>
        new WisemergeError('ERR_EVALUATION', `alpha ${alpha}, set ${set.name}: ${why}`, {
          details: { alpha, set: set.name },
        });
      if (score !== undefined && !(score >= 0 && score <= 1)) {
        throw refuse(`the score ${score} is not in [0, 1]`);
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
      const bytes = Buffer.from(correct.buffer, correct.byteOffset, correct.byteLength);
      return {
        metrics: { ...metrics, top1: score ?? hits / samples },
        ...approximated,
        samples,
        correct: bytes.toString('base64'),
      };
    }),
  };
}

function curveOf({ name, role, kind }: EvaluatedSet, s: number, all: readonly Evaluated[]): CurveSet {
  const correct = bitsOf(name, s, all);
  const { samples } = all[0]!.sets[s]!;
  const accuracy = Float64Array.from(all, ({ sets }) => sets[s]!.metrics.top1);
  return { name, role, kind, samples, accuracy, ...(correct && { correct }) };
}

/** Undefined where some model has a score alone. Throws ERR_EVALUATION where models saw other samples. */
function bitsOf(set: string, s: number, all: readonly Evaluated[]): BitMatrix | undefined {
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
