import type { ProgressListener } from '../checkpoint/progress.js';
import { WisemergeError } from '../errors.js';
import type { EvaluationSet } from '../eval/data/evaluation-set.js';
import { CurveSession, evaluateCurve } from '../eval/head-curve.js';
import { domainOf, evaluateHead } from '../eval/head-evaluation.js';
import { featureLimit } from '../eval/head-range.js';
import { HeadSession } from '../eval/head-session.js';
import { bestCalibrated, bestLikelihood } from '../eval/likelihood.js';
import { type HeadPair, headHash, openHeads } from '../eval/linear-head.js';
import { compareOutputs, type OutputComparison } from '../eval/output-comparison.js';
import { Engine, engineOptions } from '../native.js';
import { analyse } from '../selection/analysis.js';
import { parseRule } from '../selection/rule.js';
import { checkRule } from '../selection/rules.js';
import { inTurns } from '../statistics/turns.js';
import { version } from '../version.js';
import { compareOnce, type DivergenceEntry, isDivergence } from './compare-once.js';
import type { Journal } from './journal.js';
import { openSets } from './open-sets.js';
import { type ReferenceModel, robustnessOfSweep } from './references.js';
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

export interface HeadProgress {
  readonly set: string;
  readonly samplesDone: number;
  /** Of all sets. */
  readonly samplesTotal: number;
}

export interface RunOptions<Progress> {
  readonly out: string;
  readonly resume?: boolean;
  readonly force?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  readonly onCompare?: ProgressListener;
  readonly references?: readonly ReferenceModel[];
}

/**
 * Evaluates a classifier's head at every alpha: each set once, in one pass that gives the exact curve of
 * accuracy and the metrics on the grid, or the curve alone with `metrics: false`. Each set is journalled; a run
 * that was stopped goes on with the next.
 */
export async function sweepHead(
  config: ResolvedSweep,
  options: RunOptions<HeadProgress>,
): Promise<SweepResult> {
  const { out, resume = false, force = false, signal, references } = options;
  if (config.search !== 'grid') {
    throw new WisemergeError(
      'ERR_SWEEP_FILE',
      `search ${config.search} is for models that are evaluated one by one`,
      {
        hint: 'The accuracy of a head is known exactly at every alpha: leave `search` out.',
      },
    );
  }
  const began = performance.now();
  const heads = await openHeads(config.zeroshot, config.finetuned, {
    ...(config.head !== undefined && { head: config.head }),
    ...(signal && { signal }),
  });
  const { name, classes, dimension } = heads;
  const bound = { tensor: name, limit: featureLimit(heads, config.alphas) };
  const sets = await openSets(config, { classes, dimension, bound });
  try {
    checkRule(parseRule(config.rule), config.alphas, sets);
    checkSplit(sets, config.folds);
    const hash = headHash(heads);
    const fingerprints = sets.map((set) => set.fingerprint);
    const { device = 'auto', precision = 'exact' } = config;
    const identity = {
      ...decisive(config),
      ...{ precision, headHash: hash, fingerprints },
      ...(references && { references }),
    };
    // Before the output is touched: a device may be missing, or memory.
    const opening = engineOptions(device === 'auto' ? 'cpu' : device, config.threads);
    using engine = new Engine({ ...opening, precision });
    const budget = { ...(config.memory !== undefined && { memory: config.memory }) };
    using session = config.metrics
      ? new HeadSession(engine, heads, sets, budget)
      : new CurveSession(engine, heads, sets, budget);
    await engine.pin(session.arena.buffer);
    const journal = await openSweepDirectory<JournalEntry>(out, identity, { resume, force });
    try {
      return await run(session, config, heads, hash, sets, journal, began, options);
    } finally {
      await journal.close();
    }
  } finally {
    await Promise.all(sets.map((set) => set.close()));
  }
}

type SetEntry = SweptSet & { readonly seconds: number };
type JournalEntry = SetEntry | DivergenceEntry;

async function run(
  session: HeadSession | CurveSession,
  config: ResolvedSweep,
  heads: HeadPair,
  hash: string,
  sets: readonly EvaluationSet[],
  journal: Journal<JournalEntry>,
  began: number,
  { out, signal, onProgress, onCompare, references }: RunOptions<HeadProgress>,
): Promise<SweepResult> {
  const samplesTotal = sets.reduce((sum, set) => sum + set.samples, 0);
  const swept = journal.entries.filter((entry): entry is SetEntry => !isDivergence(entry));
  let before = 0;
  for (const [i, set] of sets.entries()) {
    if (i >= swept.length) {
      const start = performance.now();
      const evaluation = {
        ...(signal && { signal }),
        onSamples: (done: number) =>
          onProgress?.({ set: set.name, samplesDone: before + done, samplesTotal }),
      };
      const { intervals, metrics } =
        session instanceof HeadSession
          ? await evaluateHead(session, set, config.alphas, evaluation)
          : await evaluateCurve(session, set, config.alphas, evaluation);
      const { name, role, kind, samples, fingerprint, labels, groups } = set;
      const outcome = await saveOutcome(out, i, name, { intervals, labels, ...(groups && { groups }) });
      const seconds = (performance.now() - start) / 1000;
      const entry = { name, role, kind, samples, fingerprint, outcome, metrics, seconds };
      await journal.add(entry);
      swept.push(entry);
    }
    before += set.samples;
  }
  signal?.throwIfAborted();
  const divergence = await compareOnce(config, journal, signal, onCompare);
  const withLogits = session instanceof HeadSession ? session : undefined;
  const likelihood = withLogits ? await bestLikelihoods(withLogits, sets, config.alphas, signal) : null;
  const steps = analyse(config.alphas, await readOutcomes(out, swept), analysisOptions(config));
  const analysis = await inTurns(steps, signal);
  const outputs: OutputComparison[] = [];
  for (const [s, set] of withLogits ? sets.entries() : []) {
    const found = await compareOutputs(withLogits!, set, analysis.selection.alpha, signal);
    // What is right is decided by the exact path, not by rounded logits.
    const { top1 } = swept[s]!.metrics[analysis.selection.index]!;
    outputs.push({ ...found, merged: { ...found.merged, top1 } });
  }
  const result: SweepResult = {
    format: 'wisemerge-sweep',
    version: 1,
    wisemerge: version,
    config,
    head: {
      name: heads.name,
      classes: heads.classes,
      dimension: heads.dimension,
      dtype: heads.dtype,
      hash,
      precision: config.precision ?? 'exact',
    },
    alphas: config.alphas,
    sets: swept.map(({ seconds: _seconds, ...set }) => set),
    likelihood,
    ...(divergence && { divergence }),
    ...(withLogits && { outputs }),
    ...(references && {
      robustness: robustnessOfSweep(references, swept, config.alphas, analysis.selection.index),
    }),
    analysis,
    seconds:
      (performance.now() - began) / 1000 + journal.entries.reduce((sum, entry) => sum + entry.seconds, 0),
  };
  await writeResult(out, result);
  return result;
}

async function bestLikelihoods(
  session: HeadSession,
  sets: readonly EvaluationSet[],
  alphas: readonly number[],
  signal?: AbortSignal,
): Promise<NonNullable<SweepResult['likelihood']>> {
  const select = sets.filter(({ role }) => role === 'select').map((set) => ({ set }));
  const seen = select.length > 0 ? select : sets.map((set) => ({ set }));
  const options = { domain: domainOf(alphas), ...(signal && { signal }) };
  const alone = await bestLikelihood(session, seen, options);
  return { alpha: alone, calibrated: await bestCalibrated(session, seen, { ...options, alone }) };
}
