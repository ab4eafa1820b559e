import { WisemergeError } from '../errors.js';
import type { EvaluatedSet, PointEvaluator } from '../eval/evaluator.js';
import type { NetworkPoint } from '../eval/network.js';
import { evidenceOf } from '../selection/criteria.js';
import {
  compareOnFolds,
  compareOnReport,
  compareRows,
  type LayerComparison,
  type LayeredSet,
} from '../selection/layer-comparison.js';
import { groupByDepth, type LayerGroup } from '../selection/layer-groups.js';
import { alphasOf, searchPattern } from '../selection/layer-search.js';
import { parseRule, type Rule } from '../selection/rule.js';
import { type Decision, decide } from '../selection/rules.js';
import { tieTolerance } from '../statistics/step-function.js';
import { bitsOf, curveOf, type Evaluated, record } from './evaluated.js';
import type { ResolvedSweep } from './sweep-options.js';

/** What a search by layer found: `layers` of `sweep.json`. */
export interface LayerOutcome {
  readonly kind: 'layers' | 'linear';
  /** By depth, with their alphas at the point found. */
  readonly groups: readonly (LayerGroup & { readonly alpha: number })[];
  /** The best single alpha on the grid: where the search began, and what all other tensors have. */
  readonly single: number;
  readonly objective: LayerObjective;
  readonly sets: readonly LayeredSet[];
  /**
   * Where the points had no part in the choice; null without report sets where there are no results of samples either,
   * or too few for folds.
   */
  readonly comparison: LayerComparison | null;
  /** Beside the grid: the alphas of groups, and the accuracy of each set. */
  readonly points: readonly { readonly alphas: readonly number[]; readonly top1: readonly number[] }[];
}

/** The accuracy on the select sets that stands for the rule (`Decision.score`): it flatters, being the best of many. */
export interface LayerObjective {
  readonly single: number;
  readonly layered: number;
  /** For people: "mean accuracy of id, sketch". */
  readonly name: string;
  /** False where the models by layer have moved the best ID accuracy, or the Pareto frontier, past the single alpha. */
  readonly singleEligible: boolean;
  /** Whether the rule maximises that accuracy; a `knee` is a height above a chord. */
  readonly inPoints: boolean;
}

/** The first steps from the best single alpha. */
const firstStep = 0.25;

export interface LayerRun {
  readonly known: readonly Evaluated[];
  add(entry: Evaluated): Promise<void>;
  readonly signal?: AbortSignal;
  progress(done: number): void;
}

/** Throws ERR_SWEEP_FILE for a rule that has nothing for a search to climb. */
export function checkLayerRule(rule: Rule): void {
  if (rule.kind !== 'fixed' && rule.kind !== 'one-se') return;
  throw new WisemergeError(
    'ERR_SWEEP_FILE',
    `a search by layer has nothing to maximise with rule ${rule.kind}`,
    {
      hint: 'Use max-mean, max-id, max-shift, max-worst or knee.',
    },
  );
}

/**
 * Searches for alphas by layer around the best single alpha of `line`, by the sweep's rule and so on select sets alone;
 * then compares with that alpha. Rejects with ERR_SWEEP_FILE where the models differ in less than two groups, ERR_EVALUATION,
 * and as the evaluator.
 */
export async function sweepLayers(
  evaluator: PointEvaluator,
  config: ResolvedSweep,
  line: readonly Evaluated[],
  { known, add, signal, progress }: LayerRun,
): Promise<{ readonly outcome: LayerOutcome; readonly seconds: number }> {
  const kind = config.search as LayerOutcome['kind'];
  const rule = parseRule(config.rule);
  const groups = groupByDepth(evaluator.tensors, config.layerGroups);
  if (groups.length < 2) {
    throw new WisemergeError('ERR_SWEEP_FILE', `the models differ in ${groups.length} groups of layers`, {
      hint: 'A search by layer needs two or more; search refine or golden looks for one alpha.',
    });
  }
  const key = (point: readonly number[]) => point.join(' ');
  const journalled = new Map(known.map((entry) => [key(entry.point!), entry]));
  const found: { readonly coordinates: readonly number[]; readonly entry: Evaluated }[] = [];
  const dimension = kind === 'linear' ? 2 : groups.length;
  const uniform = (alpha: number) => new Array<number>(dimension).fill(alpha);
  for (const entry of line) found.push({ coordinates: uniform(entry.alpha), entry });
  let best = bestOf(
    evaluator.sets,
    rule,
    found.map(({ entry }) => entry),
  );
  const single = best;

  const evaluate = async (vectors: readonly (readonly number[])[]) => {
    const points = vectors.map((vector) => alphasOf(kind, vector, groups.length));
    const missing = points.filter((point) => !journalled.has(key(point)));
    for (let at = 0; at < missing.length; at += evaluator.batch) {
      signal?.throwIfAborted();
      const batch = missing.slice(at, at + evaluator.batch);
      const began = performance.now();
      const rest = line[single]!.alpha;
      const results = await evaluator.evaluate(
        batch.map((point) => pointOf(groups, point, rest)),
        signal,
      );
      const seconds = (performance.now() - began) / 1000 / batch.length;
      for (const [k, point] of batch.entries()) {
        const alpha = point.reduce((sum, each) => sum + each, 0) / point.length;
        const entry = record({ alpha, point }, seconds, evaluator.sets, results[k]);
        await add(entry);
        journalled.set(key(point), entry);
      }
    }
    for (const [v, coordinates] of vectors.entries()) {
      found.push({ coordinates, entry: journalled.get(key(points[v]!))! });
    }
    progress(found.length);
    best = bestOf(
      evaluator.sets,
      rule,
      found.map(({ entry }) => entry),
      { stay: best, minGain: config.minGain },
    );
    return found[best]!.coordinates;
  };
  const alphas = line.map(({ alpha }) => alpha);
  await searchPattern(
    {
      start: uniform(line[single]!.alpha),
      range: [Math.min(...alphas), Math.max(...alphas)],
      ...{ step: firstStep, tolerance: Math.min(firstStep, config.tolerance) },
      together: Math.max(1, Math.floor(evaluator.batch / 2)),
      budget: (config.budget ?? Number.POSITIVE_INFINITY) - line.length,
    },
    evaluate,
  );
  const all = found.map(({ entry }) => entry);
  const { criterion, score } = decisionOf(evaluator.sets, rule, all);
  const chosen = alphasOf(kind, found[best]!.coordinates, groups.length);
  const outcome: LayerOutcome = {
    kind,
    groups: groups.map((group, g) => ({ ...group, alpha: chosen[g]! })),
    single: line[single]!.alpha,
    objective: {
      ...{ single: score.value[single]!, layered: score.value[best]!, name: score.name },
      ...{ singleEligible: Number.isFinite(criterion[single]), inPoints: rule.kind !== 'knee' },
    },
    sets: evaluator.sets.map((set, s) => layeredSet(set, s, all, single, best)),
    comparison: compare(evaluator.sets, all, { line: line.length, single, best }, rule, config),
    points: all.slice(line.length).map(({ point, sets }) => ({
      alphas: point!,
      top1: sets.map(({ metrics }) => metrics.top1),
    })),
  };
  return { outcome, seconds: all.slice(line.length).reduce((sum, { seconds }) => sum + seconds, 0) };
}

/** The alpha of every tensor, `rest` for those of no group. */
function pointOf(groups: readonly LayerGroup[], alphas: readonly number[], rest: number): NetworkPoint {
  const byTensor = new Map(groups.flatMap(({ tensors }, g) => tensors.map((name) => [name, alphas[g]!])));
  return (tensor) => byTensor.get(tensor) ?? rest;
}

/** The rule on all models; ties are told apart by the means of their alphas. */
function decisionOf(sets: readonly EvaluatedSet[], rule: Rule, all: readonly Evaluated[]): Decision {
  const evidence = sets.map((set, s) => evidenceOf(curveOf(set, s, all)));
  return decide(rule, meanAlphas(all), evidence);
}

const meanAlphas = (all: readonly Evaluated[]) => Float64Array.from(all, ({ alpha }) => alpha);

/** The best model by the rule. Another one than `stay` must be better by more than `minGain`. */
function bestOf(
  sets: readonly EvaluatedSet[],
  rule: Rule,
  all: readonly Evaluated[],
  { stay, minGain = 0 }: { readonly stay?: number; readonly minGain?: number } = {},
): number {
  const { criterion, index } = decisionOf(sets, rule, all);
  if (stay === undefined) return index;
  return criterion[index]! - criterion[stay]! > minGain + tieTolerance ? index : stay;
}

function layeredSet(
  set: EvaluatedSet,
  s: number,
  all: readonly Evaluated[],
  single: number,
  best: number,
): LayeredSet {
  const { name, role, kind } = set;
  const { samples, accuracy, correct } = curveOf(set, s, [all[single]!, all[best]!]);
  const other = single === best ? 0 : 1;
  if (correct) return { name, role, kind, samples, ...compareRows(correct, 0, other, set.groups?.ids) };
  const [one, layered] = [accuracy[0]!, accuracy[1]!];
  return {
    ...{ name, role, kind, samples, single: one, layered },
    ...{ difference: layered - one, interval: null },
  };
}

/** On the report sets; without any, on folds of the select sets. */
function compare(
  sets: readonly EvaluatedSet[],
  all: readonly Evaluated[],
  { line, single, best }: { readonly line: number; readonly single: number; readonly best: number },
  rule: Rule,
  { folds, seed }: ResolvedSweep,
): LayerComparison | null {
  const pair = [all[single]!, all[best]!];
  const report = compareOnReport(
    sets.map((set, s) => curveOf(set, s, pair)),
    0,
    single === best ? 0 : 1,
  );
  if (report) return report;
  const outcomes = sets.flatMap(({ name, role, kind, labels, groups }, s) => {
    const correct = bitsOf(name, s, all);
    const grouped = { ...(labels && { labels }), ...(groups && { groups: groups.ids }) };
    return correct ? [{ name, role, kind, correct, ...grouped }] : [];
  });
  if (outcomes.length < sets.length) return null;
  return (
    compareOnFolds(outcomes, meanAlphas(all), line, rule, { ...(folds !== undefined && { folds }), seed }) ??
    null
  );
}
