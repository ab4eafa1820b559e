import { percent } from '../selection/figures.js';
import type { SweepResult } from '../sweep/result.js';
import { grid, paragraph, points, section } from './parts.js';

const number = (value: number | null, digits = 3): string => (value === null ? '–' : value.toFixed(digits));

/** Who is how sure, and whom the chosen model follows where the ends disagree. */
export function confidenceSection({ sets, outputs = [] }: SweepResult): string {
  const confidence = sets.flatMap(({ name }, s) =>
    (['zeroshot', 'merged', 'finetuned'] as const).map((model, i) => {
      const one = outputs[s]![model];
      return [
        i === 0 ? name : '',
        { zeroshot: 'zero-shot', merged: 'chosen', finetuned: 'fine-tuned' }[model],
        percent(one.confidence),
        percent(one.top1),
        points(one.confidence - one.top1),
        number(one.marginRight),
        number(one.marginWrong),
      ];
    }),
  );
  const overrides = sets.map(({ name }, s) => {
    const { overrides: by, kappaComplement, kl } = outputs[s]!;
    const ratio = by.finetuned.samples > 0 ? by.zeroshot.samples / by.finetuned.samples : null;
    return [
      name,
      String(by.zeroshot.samples),
      String(by.finetuned.samples),
      String(by.neither.samples),
      number(ratio, 2),
      ...[by.zeroshot, by.finetuned].flatMap(({ zeroshotMargin, finetunedMargin, samples, right }) => [
        samples > 0 ? percent(right / samples) : '–',
        `${number(zeroshotMargin, 2)} / ${number(finetunedMargin, 2)}`,
      ]),
      number(kappaComplement),
      `${number(kl.zeroshotFinetuned)} / ${number(kl.finetunedZeroshot)}`,
    ];
  });
  return section(
    'Confidence',
    paragraph(
      'Mean probability of the predicted class against accuracy, and the mean margin between the two largest logits.',
    ),
    grid(
      ['set', 'model', 'confidence', 'top-1', 'overconfidence', 'margin if right', 'margin if wrong'],
      confidence,
      { names: 2 },
    ),
    paragraph(
      'Where the ends predict different classes: whom the chosen model follows, how often that is right, and the mean margins of both ends there (zero-shot / fine-tuned).',
    ),
    grid(
      [
        'set',
        'zero-shot overrides',
        'is overridden',
        'neither',
        'ratio',
        'overrides: right',
        'margins',
        'overridden: right',
        'margins',
        '1 − κ',
        'KL z‖f / f‖z',
      ],
      overrides,
    ),
  );
}

/** Averaging weights against averaging outputs, at the chosen alpha. */
export function ensembleSection({ sets, outputs = [], analysis }: SweepResult): string {
  const rows = sets.map(({ name, metrics }, s) => {
    const merged = metrics[analysis.selection.index]!;
    const ensemble = outputs[s]!.probabilityEnsemble;
    const figures = ensemble
      ? [
          percent(ensemble.top1),
          points(ensemble.top1 - merged.top1),
          percent(ensemble.disagreement),
          ensemble.nll.toFixed(4),
        ]
      : ['–', '–', '–', '–'];
    return [name, percent(merged.top1), number(merged.nll ?? null, 4), ...figures];
  });
  return section(
    'Weights or outputs averaged',
    paragraph(
      'The head is linear, so averaging its weights and averaging the logits of the ends are the same model. Averaging their probabilities is another one, which needs both at every prediction.',
    ),
    grid(
      [
        'set',
        'weights = logits: top-1',
        'NLL',
        'probabilities: top-1',
        'difference',
        'predicts otherwise',
        'NLL',
      ],
      rows,
    ),
  );
}
