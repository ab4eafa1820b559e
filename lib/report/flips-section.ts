import { percent } from '../selection/figures.js';
import type { SweepResult } from '../sweep/result.js';
import { grid, paragraph, section } from './parts.js';

const share = (value: number | undefined) => (value === undefined ? '–' : percent(value));
const pairs = ['both wrong', 'only fine-tuned right', 'only zero-shot right', 'both right'] as const;

/** What becomes of the samples that the ends get right or wrong: all eight cells, set by set. */
export function flipsSection({ sets, analysis, alphas }: SweepResult): string | undefined {
  const bySample = analysis.sets.flatMap(({ samples }) => samples ?? []);
  if (bySample.length < sets.length) return undefined;
  const zero = alphas.indexOf(0);
  const rows = sets.flatMap(({ name }, s) => {
    const { table, samples } = bySample[s]!.flips;
    return pairs.map((end, pair) => {
      const [wrong, right] = [table[2 * pair]!, table[2 * pair + 1]!];
      const saved = wrong + right > 0 ? percent(right / (wrong + right)) : '–';
      return [
        pair === 0 ? name : '',
        end,
        String(wrong + right),
        percent((wrong + right) / samples),
        String(right),
        String(wrong),
        saved,
      ];
    });
  });
  const disagreements = sets.map(({ name, metrics }, s) => {
    const chosen = metrics[analysis.selection.index]!.disagreement;
    const ends = metrics[zero]!.disagreement;
    const { predictionDiversity, bothWrongToRight, bothRightToWrong } = bySample[s]!.flips;
    return [
      name,
      share(ends?.finetuned),
      share(chosen?.zeroshot),
      share(chosen?.finetuned),
      percent(predictionDiversity),
      String(bothWrongToRight),
      String(bothRightToWrong),
    ];
  });
  return section(
    'Flips',
    paragraph('Samples by which ends get them right, and what the chosen model makes of them.'),
    grid(['set', 'ends', 'samples', 'share', 'chosen right', 'chosen wrong', 'of them right'], rows, {
      names: 2,
    }),
    paragraph(
      'How often two models predict different classes, and how often exactly one end is right (prediction diversity).',
    ),
    grid(
      [
        'set',
        'zero-shot ≠ fine-tuned',
        'chosen ≠ zero-shot',
        'chosen ≠ fine-tuned',
        'prediction diversity',
        'both wrong → right',
        'both right → wrong',
      ],
      disagreements,
    ),
  );
}
