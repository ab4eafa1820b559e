import type { EffectiveRobustness } from '../selection/effective-robustness.js';
import { percent } from '../selection/figures.js';
import type { ShiftRobustness } from '../sweep/references.js';
import { grid, paragraph, points, section } from './parts.js';

/** How far above the line of reference models the models lie, shift by shift. */
export function robustnessSection(robustness: readonly ShiftRobustness[]): string {
  const rho = (one: EffectiveRobustness | null) =>
    one ? `${points(one.rho)}${one.extrapolated ? ' *' : ''}` : '–';
  const nameOf = (set: string | null) => set ?? 'mean of the shifts';
  const rows = robustness.map(({ set, models, line, zeroshot, finetuned, chosen }) => [
    nameOf(set),
    String(models.length),
    line.fitted ? line.rSquared.toFixed(3) : '–',
    line.fitted ? line.slope.toFixed(3) : '–',
    line.fitted ? line.intercept.toFixed(3).replace('-', '−') : '–',
    rho(zeroshot),
    rho(finetuned),
    rho(chosen),
  ]);
  const refused = robustness.flatMap(({ set, line }) =>
    line.fitted ? [] : [paragraph(`${nameOf(set)}: no line, ${line.reason}.`, 'muted')],
  );
  const partial = robustness.flatMap(({ set, idSets, leftOut }) => {
    if (leftOut.length === 0) return [];
    const verb = leftOut.length > 1 ? 'are' : 'is';
    const what = `ID accuracy is that of ${idSets.join(', ')}; ${leftOut.join(', ')} ${verb} left out`;
    return [paragraph(`${nameOf(set)}: ${what}, for which reference models have no score.`, 'muted')];
  });
  const beyond = robustness.flatMap(({ set, line, zeroshot, finetuned, chosen }) => {
    const starred = [zeroshot, finetuned, chosen].some((one) => one?.extrapolated);
    return line.fitted && starred ? [`${nameOf(set)} ${line.idRange.map(percent).join(' to ')}`] : [];
  });
  return section(
    'Effective robustness',
    paragraph(
      'Shift accuracy less what a line through the reference models predicts from ID accuracy, on logit axes, in percentage points.',
    ),
    grid(['shift', 'models', 'R²', 'slope', 'intercept', 'zero-shot', 'fine-tuned', 'chosen'], rows),
    ...refused,
    ...partial,
    ...(beyond.length > 0
      ? [paragraph(`* ID accuracy outside that of the reference models: ${beyond.join(', ')}.`, 'muted')]
      : []),
  );
}
