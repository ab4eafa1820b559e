import type { ControlResult, DemoResult, Estimate } from '../demo/demo.js';
import type { Control } from '../demo/seed-run.js';
import { percent } from '../selection/figures.js';
import { formatTable } from './format.js';

const points = (share: number): string => `${share >= 0 ? '+' : ''}${(100 * share).toFixed(2)}`;
const interval = ({ ci95: [lower, upper] }: Estimate): string => `${points(lower)} to ${points(upper)}`;

/** Accuracies at both ends and at the chosen alpha, and what is shown by them. */
export function describeDemo(result: DemoResult): string {
  const { alpha, sets, shift, gain, idGain, seeds, chosenOn, crossValidated } = result;
  const rows = [
    ...sets.map(({ name, accuracy, gain }) => ({ name, accuracy, gain })),
    { name: 'mean of the shifts', accuracy: shift, gain },
  ];
  const table = formatTable(
    ['', 'zero-shot', 'chosen', 'fine-tuned', 'gain', '95 % interval'],
    rows.map(({ name, accuracy, gain }) => [
      name,
      percent(accuracy.zeroshot),
      percent(accuracy.chosen),
      percent(accuracy.finetuned),
      points(gain.mean),
      interval(gain),
    ]),
  );
  const worse = sets.filter(({ gain }) => gain.ci95[1] < 0);
  const lines = [
    `Means over ${seeds} seeds. The gain is over the better end of the same row, in points. All figures are for one half`,
    `of every set; alpha (${alpha.toFixed(2)} on average) is chosen on the other half. There the chosen models score`,
    `${percent(chosenOn)} (mean of ID and shifts), or ${percent(crossValidated)} with alpha chosen on other folds (cross-validation).`,
    `On the mean of the shifts interpolation ${verdict(gain)} the better end: ${points(gain.mean)} points, ${interval(gain)}.`,
    `On ID it ${verdict(idGain)} the fine-tuned model: ${points(idGain.mean)} points, ${interval(idGain)}.`,
    ...(worse.length > 0
      ? [
          `It does not help everywhere: ${worse.map(({ name, gain }) => `${name} ${points(gain.mean)}`).join(', ')} against the better end, which`,
          'nobody knows beforehand.',
        ]
      : []),
  ];
  return `${table}\n\n${lines.join('\n')}`;
}

function verdict({ ci95: [lower, upper] }: Estimate): string {
  return lower > 0 ? 'beats' : upper < 0 ? 'loses to' : 'cannot be told apart from';
}

const what: Readonly<Record<Control, string>> = {
  permuted: 'fine-tuned, hidden units permuted',
  independent: 'fine-tuned from other random weights',
};

/** What becomes of the path where the ends do not belong together. */
export function describeControl(control: Readonly<Record<Control, ControlResult>>): string {
  const entries = Object.entries(control) as [Control, ControlResult][];
  const table = formatTable(
    ['instead of the fine-tuned model', 'set', 'zero-shot', 'alpha 0.5', 'this model', 'barrier', 'gain'],
    entries.flatMap(([name, { id, shift, gain }]) =>
      [
        { set: 'ID', ...id },
        { set: 'shifts', ...shift },
      ].map(({ set, zeroshot, finetuned, middle }) => [
        what[name],
        set,
        percent(zeroshot),
        percent(middle),
        percent(finetuned),
        points(Math.min(zeroshot, finetuned) - middle),
        set === 'ID' ? '' : `${points(gain.mean)} (${interval(gain)})`,
      ]),
    ),
    { left: [1] },
  );
  const lines = [
    'The barrier is how far alpha 0.5 lies below the lower end, in points. Permuting hidden units does not change',
    'what the model computes, and yet nothing good lies on the path to it: the ends must share their pre-training.',
  ];
  return `${table}\n\n${lines.join('\n')}`;
}
