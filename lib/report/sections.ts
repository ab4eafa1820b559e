import type { SampleAnalysis } from '../selection/analysis.js';
import { describeConnectivity, type Extremum } from '../selection/chord.js';
import { type CrossValidation, type HeldOutScore, scoresMean } from '../selection/cross-validation.js';
import { describeOptimum } from '../selection/exact-choice.js';
import { percent } from '../selection/figures.js';
import type { SweepResult } from '../sweep/result.js';
import { sweepCommand } from '../sweep/sweep-command.js';
import { confidenceSection, ensembleSection } from './confidence-section.js';
import { divergenceSection } from './divergence-section.js';
import { flipsSection } from './flips-section.js';
import { layersSection } from './layers-section.js';
import { grid, paragraph, points, section, short } from './parts.js';
import { robustnessSection } from './robustness-section.js';
import { escapeText } from './svg.js';

/** The page below its plots, one element per section. */
export function sections(result: SweepResult, plots: ReadonlyMap<string, string>): string[] {
  const [heatMap, bars] = [plots.get('divergence.svg'), plots.get('layers.svg')];
  return [
    why(result),
    ends(result),
    validation(result),
    ...(result.layers && bars ? [layersSection(result.layers, bars)] : []),
    ...(result.robustness ? [robustnessSection(result.robustness)] : []),
    flipsSection(result),
    ...(result.outputs ? [confidenceSection(result), ensembleSection(result)] : []),
    ...(result.divergence && heatMap ? [divergenceSection(result.divergence, heatMap)] : []),
    table(result),
    provenance(result),
  ].filter((part) => part !== undefined);
}

function why({ alphas, analysis, likelihood }: SweepResult): string {
  const { selection, exact, firmness, firmnessNote } = analysis;
  const resampled = firmness?.verdict.selection;
  const lines = [
    selection.explanation,
    ...(resampled?.alpha && resampled.optimism !== null
      ? [
          `95 % of resamples choose alpha in [${short(resampled.alpha.lower)}, ${short(resampled.alpha.upper)}]; choosing and scoring on the same samples flatters the accuracy by about ${points(resampled.optimism)} points.`,
        ]
      : []),
    ...(firmnessNote ? [firmnessNote] : []),
    ...(exact ? [`Over all alphas: ${describeOptimum(exact)}.`] : []),
    ...(likelihood ? [likelihoodText(likelihood, alphas)] : []),
  ];
  const paragraphs = lines.map((text) => paragraph(text));
  const warnings = (firmness?.verdict.warnings ?? []).map((text) => paragraph(text, 'warning'));
  return `<section class="why"><h2>Why this alpha</h2>\n<p class="muted">rule ${escapeText(analysis.rule)}</p>${[...paragraphs, ...warnings].join('\n')}</section>`;
}

function likelihoodText(
  { alpha, calibrated }: NonNullable<SweepResult['likelihood']>,
  alphas: readonly number[],
): string {
  const together =
    calibrated.temperature === null
      ? ''
      : `; together with a temperature of ${calibrated.temperature.toFixed(3)}, at ${short(calibrated.alpha)} (${calibrated.nll.toFixed(4)})`;
  const notes = [alpha.note, calibrated.note].flatMap((note) => (note ? [` ${note}`] : []));
  return `Among alphas from ${short(alphas[0]!)} to ${short(alphas.at(-1)!)}, negative log-likelihood is smallest at alpha ${short(alpha.alpha)} (${alpha.nll.toFixed(4)})${together}.${notes.join('')}`;
}

const decimal = (value: number | undefined) => value?.toFixed(4) ?? '';

/** The chosen model against both ends, set by set. */
function ends({ alphas, sets, analysis }: SweepResult): string {
  const [zero, one, at] = [alphas.indexOf(0), alphas.indexOf(1), analysis.selection.index];
  const rows = sets.map(({ name, kind, role, samples, metrics }, s) => {
    const { samples: bySample, best } = analysis.sets[s]!;
    const chosen = metrics[at]!;
    return [
      `${name} (${kind}, ${role})`,
      String(samples),
      percent(chosen.top1),
      points(chosen.top1 - metrics[zero]!.top1),
      pOf(bySample, 'zeroshot'),
      points(chosen.top1 - metrics[one]!.top1),
      pOf(bySample, 'finetuned'),
      `${percent(best.value)} at ${short(best.alpha)}`,
      String(bySample?.flips.bothWrongToRight ?? ''),
      String(bySample?.flips.bothRightToWrong ?? ''),
      decimal(chosen.nll),
      decimal(chosen.ece),
    ];
  });
  const head = [
    'set',
    'samples',
    'top-1',
    'against zero-shot',
    'p',
    'against fine-tuned',
    'p',
    'its own best (oracle)',
  ];
  return section(
    'Against both ends',
    grid([...head, 'both wrong → right', 'both right → wrong', 'NLL', 'ECE'], rows),
    '<p class="muted">Differences are in percentage points; p is McNemar’s, two-sided, by sample, or by group where a set has groups; sets that alpha was chosen on have none, it would be too small.</p>',
  );
}

function pOf(samples: SampleAnalysis | null, end: 'zeroshot' | 'finetuned'): string {
  if (!samples) return '';
  return samples.afterSelection ? '–' : samples.mcnemar[end].pValue.toPrecision(2);
}

function table({ alphas, sets, analysis }: SweepResult): string {
  const head = ['alpha', ...sets.flatMap(({ name }) => [`${name} top-1`, 'NLL', 'ECE'])];
  const rows = alphas.map((alpha, k) => [
    short(alpha),
    ...sets.flatMap(({ metrics }) => {
      const { top1, nll, ece } = metrics[k]!;
      return [percent(top1), decimal(nll), decimal(ece)];
    }),
  ]);
  const notes = sets.flatMap(({ name, approximation: found }) =>
    found
      ? [
          `${name}: logits at these alphas are interpolated from ${found.forwards.toFixed(1)} models per image; ${percent(found.inDoubt)} of the samples are nearer a tie than the error found.`,
        ]
      : [],
  );
  return section(
    'At each alpha',
    ...notes.map((text) => paragraph(text)),
    grid(head, rows, { marked: analysis.selection.index }),
  );
}

function validation({ analysis }: SweepResult): string | undefined {
  const { firmness, leaveOneShiftOut, shiftsNotLeftOut } = analysis;
  if (!firmness) return undefined;
  const { crossValidation, crossValidationNote, chord } = firmness;
  const shifts = (leaveOneShiftOut ?? []).map(({ set, alpha, accuracy, oracle, regret }) => [
    set,
    short(alpha),
    percent(accuracy),
    `${percent(oracle.accuracy)} at ${short(oracle.alpha)}`,
    points(-regret),
  ]);
  const { minimum, interiorGain } = chord;
  const gain = interiorGain
    ? ` The best interior alpha (${short(interiorGain.alpha)}) beats the better end by ${points(interiorGain.value)} points${intervalOf(interiorGain)}.`
    : '';
  return section(
    'Does it hold?',
    ...(crossValidation ? heldOut(crossValidation) : []),
    ...(crossValidationNote ? [paragraph(crossValidationNote)] : []),
    ...(shifts.length > 0
      ? [
          '<p>Leaving one shift out:</p>',
          grid(['held out', 'alpha', 'accuracy', 'oracle', 'difference'], shifts),
        ]
      : []),
    ...shiftsNotLeftOut.map(({ set, reason }) => paragraph(`${set} cannot be left out: ${reason}.`)),
    `<p>${describeConnectivity(chord)}: at worst (alpha ${short(minimum.alpha)}) the curve lies ${points(minimum.value)} points from its chord${intervalOf(minimum)}.${gain}</p>`,
  );
}

function intervalOf({ interval }: Extremum): string {
  return interval ? `, 95 % interval [${points(interval.lower)}, ${points(interval.upper)}]` : '';
}

function heldOut(cv: CrossValidation): string[] {
  const plain = !scoresMean(cv);
  const score = (name: string, { alpha, score, mean, spread }: HeldOutScore) => [
    name,
    alpha === null ? 'by fold' : short(alpha),
    ...(plain ? [percent(score)] : []),
    percent(mean),
    percent(spread),
  ];
  const rows = [
    score('chosen on the other folds', cv.chosen),
    score('fixed', cv.fixed),
    score('zero-shot', cv.zeroshot),
    score('fine-tuned', cv.finetuned),
  ];
  const mean = plain ? `plain mean of ${cv.sets.join(', ')}` : `held-out ${cv.objective}`;
  return [
    `<p>${cv.repeats > 1 ? `${cv.repeats} × ` : ''}${cv.folds}-fold cross-validation:</p>`,
    grid(
      ['alpha', 'value', ...(plain ? [`held-out ${cv.objective}`] : []), mean, 'its spread over folds'],
      rows,
    ),
  ];
}

function nameReferences(references: NonNullable<SweepResult['config']['references']>): string {
  return typeof references === 'string' ? references : references.map(({ name }) => name).join(', ');
}

function provenance({ wisemerge, config, head }: SweepResult): string {
  const rows = [
    ['wisemerge', wisemerge],
    ['zero-shot', config.zeroshot],
    ['fine-tuned', config.finetuned],
    ...(head
      ? [
          [
            'head',
            `${head.name}, ${head.classes} classes, ${head.dimension} features, ${head.dtype}, XXH3 ${head.hash}${head.precision === 'fast' ? ', logits by tensor cores' : ''}`,
          ],
        ]
      : []),
    ['seed', String(config.seed)],
    ...(config.references ? [['reference models', nameReferences(config.references)]] : []),
  ];
  return section(
    'Made from',
    grid(['', ''], rows, { names: 2 }),
    `<pre>${escapeText(sweepCommand(config))}</pre>`,
  );
}
