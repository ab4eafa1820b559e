import { expect, test } from 'vitest';
import { robustnessSection } from '../../lib/report/robustness-section.js';
import type { ShiftRobustness } from '../../lib/sweep/references.js';

test('a figure beyond the reference models is starred with the range of its own shift', () => {
  const line = (low: number, high: number) => ({
    ...{ fitted: true, slope: 1, intercept: 0, rSquared: 0.9, models: 3 },
    idRange: [low, high] as const,
  });
  const shift = (set: string | null, range: readonly [number, number], extrapolated: boolean) => {
    const one = { rho: 0.01, predicted: 0.5, extrapolated };
    return {
      ...{ set, idSets: ['id'], leftOut: [], models: [], line: line(...range) },
      ...{ zeroshot: { ...one, extrapolated: false }, finetuned: one, chosen: one },
    } as ShiftRobustness;
  };
  const html = robustnessSection([
    shift('far', [0.55, 0.8], false),
    shift('kept', [0.6, 0.7], true),
    shift(null, [0.61, 0.7], true),
  ]);
  expect(html).toContain(
    '* ID accuracy outside that of the reference models: kept 60.00 % to 70.00 %, mean of the shifts 61.00 % to 70.00 %.',
  );
  expect(html).not.toContain('55.00 %');
  expect(robustnessSection([shift('far', [0.55, 0.8], false)])).not.toContain('outside that');
});
