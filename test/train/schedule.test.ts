import { expect, test } from 'vitest';
import { learningRate, learningRates } from '../../lib/train/schedule.js';

const schedule = { lr: 0.2, warmup: 4, steps: 14 };

test('warms up in a straight line, then falls along half a cosine', () => {
  const rates = [...learningRates(schedule, 0, 14)];
  [0.05, 0.1, 0.15, 0.2].forEach((rate, step) => {
    expect(rates[step]).toBeCloseTo(rate, 15);
  });
  expect(rates[4]).toBe(0.2);
  expect(rates[9]).toBeCloseTo(0.1, 15);
  expect(rates[13]).toBeCloseTo(0.1 * (1 + Math.cos(0.9 * Math.PI)), 15);
  for (let step = 5; step < 14; step++) expect(rates[step]!).toBeLessThan(rates[step - 1]!);
});

test('is a function of the step alone', () => {
  const all = learningRates(schedule, 0, 14);
  expect([...learningRates(schedule, 5, 3)]).toEqual([...all.subarray(5, 8)]);
  expect(learningRate({ lr: 1, warmup: 0, steps: 10 }, 0)).toBe(1);
  expect([...learningRates({ lr: 0, warmup: 2, steps: 5 }, 0, 5)]).toEqual([0, 0, 0, 0, 0]);
});
