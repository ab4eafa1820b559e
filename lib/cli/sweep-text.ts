import type { Analysis } from '../selection/analysis.js';
import { describeConnectivity } from '../selection/chord.js';
import { type CrossValidation, scoresMean } from '../selection/cross-validation.js';
import { describeOptimum } from '../selection/exact-choice.js';
import { percent, pointsInterval } from '../selection/figures.js';
import { explainLayers } from '../selection/layer-comparison.js';
import type { LayerOutcome } from '../sweep/layer-sweep.js';
import type { RecordsPick } from '../sweep/pick-records.js';
import type { SetMetrics, SweepResult } from '../sweep/result.js';
import { formatTable } from './format.js';

const points = (share: number): string => `${share >= 0 ? '+' : ''}${(100 * share).toFixed(2)}`;
const short = (alpha: number): string => String(Number(alpha.toFixed(4)));

/** Accuracy, or perplexity where a set has one. */
const scoreOf = ({ top1, perplexity }: SetMetrics): string => perplexity?.toFixed(3) ?? percent(top1);

/** Top-1 accuracy, or perplexity, of every set at every alpha, with the likelihood optima. */
export function describeCurves({ alphas, sets, likelihood, analysis }: SweepResult): string {
  const rows = alphas.map((alpha, k) => [
    `${alpha === analysis.selection.alpha ? '* ' : ''}${short(alpha)}`,
    ...sets.map(({ metrics }) => scoreOf(metrics[k]!)),
  ]);
  const heads = sets.map(({ name, role, kind, metrics }) => {
    const what = metrics[0]?.perplexity === undefined ? '' : ', perplexity';
    return `${name} (${kind}, ${role}${what})`;
  });
  const table = formatTable(['alpha', ...heads], rows);
  if (!likelihood) return table;
  const { alpha, calibrated } = likelihood;
  const together =
    calibrated.temperature === null
      ? ''
      : `; ${calibrated.nll.toFixed(4)} at alpha ${short(calibrated.alpha)} with temperature ${calibrated.temperature.toFixed(3)}`;
  return [
    table,
    `smallest negative log-likelihood among alphas from ${short(alphas[0]!)} to ${short(alphas.at(-1)!)}: ${alpha.nll.toFixed(4)} at alpha ${short(alpha.alpha)}${together}`,
    ...[alpha.note, calibrated.note].filter((note) => note),
  ].join('\n');
}

/** The choice, and how firm it is. Curves, where they are at hand, give the figures of the sets. */
export function describeAnalysis(analysis: Analysis, curves?: SweepResult): string {
  const { selection, exact, firmness, firmnessNote, leaveOneShiftOut, shiftsNotLeftOut } = analysis;
  const lines = [`chosen alpha: ${short(selection.alpha)}  (rule ${analysis.rule})`, selection.explanation];
  const resampled = firmness?.verdict.selection.alpha;
  if (resampled)
    lines.push(`95 % of resamples choose alpha in [${short(resampled.lower)}, ${short(resampled.upper)}].`);
  if (firmnessNote) lines.push(firmnessNote);
  if (exact) lines.push(`over all alphas: ${describeOptimum(exact)}.`);
  if (firmness?.crossValidation) lines.push(describeValidation(firmness.crossValidation));
  if (firmness?.crossValidationNote) lines.push(firmness.crossValidationNote);
  for (const { set, alpha, accuracy, regret } of leaveOneShiftOut ?? []) {
    lines.push(
      `without ${set}: alpha ${short(alpha)} is chosen and scores ${percent(accuracy)} there, ${points(-regret)} points from its own best.`,
    );
  }
  for (const { set, reason } of shiftsNotLeftOut) lines.push(`${set} cannot be left out: ${reason}.`);
  const chord = firmness?.chord;
  if (chord) {
    const { value, alpha, interval } = chord.minimum;
    const bounds = interval ? `, 95 % interval ${pointsInterval(interval)}` : '';
    lines.push(
      `${describeConnectivity(chord)}: the curve lies ${points(value)} points from its chord at worst (alpha ${short(alpha)})${bounds}.`,
    );
  }
  if (curves) {
    const k = selection.index;
    const last = curves.alphas.indexOf(1);
    const first = curves.alphas.indexOf(0);
    for (const { name, kind, metrics } of curves.sets) {
      const { top1: at, perplexity } = metrics[k]!;
      if (perplexity !== undefined) {
        const ends = [first, last].map((i) => scoreOf(metrics[i]!));
        lines.push(
          `${name} (${kind}): perplexity ${scoreOf(metrics[k]!)}; zero-shot ${ends[0]}, fine-tuned ${ends[1]}.`,
        );
        continue;
      }
      lines.push(
        `${name} (${kind}): ${percent(at)}, ${points(at - metrics[first]!.top1)} against zero-shot, ${points(at - metrics[last]!.top1)} against fine-tuned.`,
      );
    }
  }
  return lines.join('\n');
}

/** Alphas by layer, and whether they are worth it. */
export function describeLayers({ groups, single, comparison, points: tried }: LayerOutcome): string {
  const table = formatTable(
    ['layers', 'alpha'],
    groups.map(({ name, alpha }) => [name, short(alpha)]),
  );
  const lines = [`by layer, ${tried.length} models around alpha ${short(single)}:`, table];
  return [...lines, ...(comparison ? [explainLayers(comparison)] : [])].join('\n');
}

/** A choice from a table of results. */
export function describeRecords({ alphas, sets, selection }: RecordsPick): string {
  const rows = alphas.map((alpha, k) => [
    `${alpha === selection.alpha ? '* ' : ''}${short(alpha)}`,
    ...sets.map(({ accuracy }) => percent(accuracy[k]!)),
  ]);
  return [
    formatTable(['alpha', ...sets.map(({ name, role, kind }) => `${name} (${kind}, ${role})`)], rows),
    '',
    `chosen alpha: ${short(selection.alpha)}  (rule ${selection.rule})`,
    selection.explanation,
  ].join('\n');
}

function describeValidation(cv: CrossValidation): string {
  const { repeats, folds, objective, sets, chosen, fixed, zeroshot, finetuned } = cv;
  const plain = scoresMean(cv)
    ? ''
    : ` The plain mean of ${sets.join(', ')} is ${percent(chosen.mean)}, ${percent(fixed.mean)}, ${percent(zeroshot.mean)} and ${percent(finetuned.mean)}, in this order.`;
  return (
    `cross-validation (${repeats > 1 ? `${repeats} × ` : ''}${folds} folds): held-out ${objective} ${percent(chosen.score)}; ` +
    `alpha ${short(fixed.alpha ?? 0.5)} gives ${percent(fixed.score)}, zero-shot ${percent(zeroshot.score)}, fine-tuned ${percent(finetuned.score)}.${plain}`
  );
}
