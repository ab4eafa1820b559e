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
  const here = nll(testCase, both.alpha, both.temperature!);
  expect(both.nll).toBeCloseTo(here, 5);
  for (const [da, dt] of [
    [0.02, 0],
    [-0.02, 0],
    [0, 0.02],
    [0, -0.02],
    [0.02, 0.02],
    [-0.02, 0.02],
  ] as const) {
    expect(nll(testCase, both.alpha + da, both.temperature! * (1 + dt))).toBeGreaterThan(here);
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

test('a domain of any width has the same optima', async () => {
  using session = new HeadSession(engine, testCase.head, [testCase.set]);
  const sets = [{ set: testCase.set }];
  const alone = await bestLikelihood(session, sets, { domain: [-2, 3] });
  const both = await bestCalibrated(session, sets, { domain: [-2, 3] });
  for (const width of [1e2, 1e4, 1e9]) {
    const domain = [-width, width] as const;
    const wide = await bestLikelihood(session, sets, { domain });
    expect(wide.converged).toBe(true);
    expect(Math.abs(wide.alpha - alone.alpha)).toBeLessThan(1e-4);
    const joint = await bestCalibrated(session, sets, { domain });
    expect(joint.nll).toBeLessThan(wide.nll);
    expect(Math.abs(joint.alpha - both.alpha)).toBeLessThan(1e-3);
    expect(joint.temperature! / both.temperature!).toBeCloseTo(1, 3);
    expect(wide.passes + joint.passes).toBeLessThan(60);
  }
});

test('saturated logits have the optimum of their scale', async () => {
  const large = scaled(testCase, 1000);
  using session = new HeadSession(engine, testCase.head, [testCase.set]);
  using saturated = new HeadSession(engine, large.head, [large.set]);
  const both = await bestCalibrated(session, [{ set: testCase.set }], { domain: [-2, 3] });
  const alone = await bestLikelihood(saturated, [{ set: large.set }], { domain: [-2, 3] });
  const joint = await bestCalibrated(saturated, [{ set: large.set }], { domain: [-2, 3] });
  expect(alone.converged && joint.converged).toBe(true);
  expect(joint.nll).toBeLessThan(alone.nll);
  expect(joint.nll).toBeCloseTo(both.nll, 5);
  expect(joint.temperature! / both.temperature!).toBeCloseTo(1000, 0);
  for (const step of [-1e-3, 1e-3]) expect(nll(large, alone.alpha + step)).toBeGreaterThan(alone.nll);
});

test('where no temperature is best there is none, and a sentence that says why', async () => {
  const { head, set } = testCase;
  // The least likely class at either end: any sharper logits are worse.
  const labels = Int32Array.from({ length: set.samples }, (_, i) => {
    const sum = [0, 1].map((alpha) => logitsAt(testCase, i, alpha));
    const both = sum[0]!.map((value, c) => value + sum[1]![c]!);
    return both.indexOf(Math.min(...both));
  });
  const wrong = { ...set, labels };
  using session = new HeadSession(engine, head, [wrong]);
  const hot = await bestCalibrated(session, [{ set: wrong }]);
  expect(hot).toMatchObject({ temperature: null, converged: true });
  expect(hot.nll).toBeCloseTo(Math.log(head.classes), 6);
  expect(hot.note).toContain('equal probabilities');

  const one = Int32Array.from({ length: set.samples }, (_, i) => {
    const z = logitsAt(testCase, i, 0.3);
    return z.indexOf(Math.max(...z));
  });
  const right = { ...set, labels: one };
  using other = new HeadSession(engine, head, [right]);
  const cold = await bestCalibrated(other, [{ set: right }]);
  expect(cold).toMatchObject({ temperature: null, nll: 0, converged: true });
  expect(cold.note).toContain('all samples are right');
});

/** The same head with larger numbers. */
function scaled({ head, set, weights }: HeadCase, factor: number): HeadCase {
  const [w0, w1] = weights.map((values) => values.map((value) => factor * value)) as [
    Float32Array,
    Float32Array,
  ];
  const bytes = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { head: { ...head, zeroshot: bytes(w0), finetuned: bytes(w1) }, set, weights: [w0, w1] };
}
