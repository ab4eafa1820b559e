import { afterAll, beforeAll, expect, test } from 'vitest';
import { HeadSession } from '../../lib/eval/head-session.js';
import { bestCalibrated, bestLikelihood } from '../../lib/eval/likelihood.js';
import { Engine } from '../../lib/native.js';
import { type HeadCase, headCase, logitsAt } from '../support/heads.js';

let engine: Engine;
beforeAll(() => {
  engine = new Engine();
});
afterAll(() => engine.close());

/** Mean negative log-likelihood in f64 at one alpha and temperature. */
function nll(testCase: HeadCase, alpha: number, temperature = 1): number {
  let sum = 0;
  for (let i = 0; i < testCase.set.samples; i++) {
    const z = logitsAt(testCase, i, alpha).map((v) => v / temperature);
    const top = Math.max(...z);
    sum += Math.log(z.reduce((a, v) => a + Math.exp(v - top), 0)) + top - z[testCase.set.labels[i]!]!;
  }
  return sum / testCase.set.samples;
}

// Fine-tuned from a worse start: the optimum is inside. Logits this large want a temperature above 1.
const testCase = headCase(400, 8, 12, { seed: 12 });

test('the best alpha is where a fine grid has its minimum', async () => {
  using session = new HeadSession(engine, testCase.head, [testCase.set]);
  const best = await bestLikelihood(session, [{ set: testCase.set }], { domain: [-2, 3] });
  const grid = Array.from({ length: 501 }, (_, k) => -2 + k / 100);
  const lowest = grid.reduce((low, alpha) => (nll(testCase, alpha) < nll(testCase, low) ? alpha : low));
  expect(best.interior).toBe(true);
  expect(Math.abs(best.alpha - lowest)).toBeLessThanOrEqual(0.01);
  expect(best.nll).toBeCloseTo(nll(testCase, best.alpha), 5);
  expect(nll(testCase, best.alpha)).toBeLessThanOrEqual(nll(testCase, lowest) + 1e-9);
  expect(best.passes).toBeLessThan(20);
});

test('an optimum beyond the domain is its end', async () => {
  using session = new HeadSession(engine, testCase.head, [testCase.set]);
  const inside = await bestLikelihood(session, [{ set: testCase.set }], { domain: [-2, 3] });
  const below = [inside.alpha - 1, inside.alpha - 0.5] as const;
  const best = await bestLikelihood(session, [{ set: testCase.set }], { domain: below });
  expect(best).toMatchObject({ alpha: below[1], interior: false });
  const joint = await bestCalibrated(session, [{ set: testCase.set }], { domain: [-9, -8] });
  expect(joint).toMatchObject({ alpha: -8, interior: false });
});

test('alpha and temperature together: no neighbour is better, and both beat alpha alone', async () => {
  using session = new HeadSession(engine, testCase.head, [testCase.set]);
  const alone = await bestLikelihood(session, [{ set: testCase.set }], { domain: [-2, 3] });
  const both = await bestCalibrated(session, [{ set: testCase.set }], { domain: [-2, 3] });
  expect(both.nll).toBeLessThan(alone.nll);
  const here = nll(testCase, both.alpha, both.temperature);
  expect(both.nll).toBeCloseTo(here, 5);
  for (const [da, dt] of [
    [0.02, 0],
    [-0.02, 0],
    [0, 0.02],
    [0, -0.02],
    [0.02, 0.02],
    [-0.02, 0.02],
  ] as const) {
    expect(nll(testCase, both.alpha + da, both.temperature * (1 + dt))).toBeGreaterThan(here);
  }
});

test('weights of samples are repetitions, weights of sets those of their means', async () => {
  const other = headCase(100, 8, 12, { seed: 31, name: 'other' });
  const set = other.set;
  using session = new HeadSession(engine, testCase.head, [testCase.set, set]);
  const masked = await bestLikelihood(
    session,
    [
      { set: testCase.set, sampleWeights: Float64Array.from({ length: 400 }, (_, i) => Number(i < 200)) },
      { set, weight: 3 },
    ],
    { domain: [-4, 4] },
  );
  const half: HeadCase = { ...testCase, set: { ...testCase.set, samples: 200 } };
  const crossed: HeadCase = { head: testCase.head, set, weights: testCase.weights };
  const mean = (alpha: number) => (nll(half, alpha) + 3 * nll(crossed, alpha)) / 4;
  expect(masked.nll).toBeCloseTo(mean(masked.alpha), 4);
  for (const step of [-0.02, 0.02]) expect(mean(masked.alpha + step)).toBeGreaterThan(mean(masked.alpha));
});
