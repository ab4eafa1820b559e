import { expect, test } from 'vitest';
import { exactChoice } from '../../lib/selection/exact-choice.js';
import { parseRule } from '../../lib/selection/rule.js';
import type { StepFunction } from '../../lib/statistics/step-function.js';

const step = (values: readonly number[]): StepFunction => ({
  alphas: Float64Array.of(0, 0.25, 0.5, 0.75, 1),
  at: Float64Array.from(values),
  after: Float64Array.from(values.slice(0, -1)),
});

test('the plateau of a constrained rule keeps to the constraint', () => {
  const sets = [
    { name: 'val', role: 'select', kind: 'id' },
    { name: 'sk', role: 'select', kind: 'shift' },
  ] as const;
  // Where the shift is best ID accuracy is too low.
  const paths = [step([0.5, 0.6, 0.69, 0.7, 0.7]), step([0.6, 0.6, 0.5, 0.4996, 0.4])];
  const found = exactChoice(parseRule('max-shift:id-within=0.02'), sets, paths)!;
  expect(found.value).toBe(0.5);
  expect(found.intervals).toEqual([{ from: 0.5, to: 0.75, fromIncluded: true, toIncluded: false }]);
  expect(found.plateau).toEqual([{ from: 0.5, to: 1, fromIncluded: true, toIncluded: false }]);
});
