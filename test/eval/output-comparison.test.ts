import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluateHead, evaluateModel } from '../../lib/eval/head-evaluation.js';
import { HeadSession } from '../../lib/eval/head-session.js';
import { compareOutputs } from '../../lib/eval/output-comparison.js';
import { Engine } from '../../lib/native.js';
import { type HeadCase, headCase, logitsAt } from '../support/heads.js';

let engine: Engine;
beforeAll(() => {
  engine = new Engine();
});
afterAll(() => engine.close());

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const mean = (values: readonly number[]) => (values.length > 0 ? sum(values) / values.length : null);
const argmax = (z: readonly number[]) => z.indexOf(Math.max(...z));
const softmax = (z: readonly number[]) => {
  const e = z.map((v) => Math.exp(v - Math.max(...z)));
  return e.map((v) => v / sum(e));
};
const margin = (z: readonly number[]) => {
  const [first, second] = [...z].sort((a, b) => b - a);
  return first! - second!;
};

/** Everything by its definition, from logits in f64. */
function oracle(testCase: HeadCase, alpha: number) {
  const { labels, samples } = testCase.set;
  const { classes } = testCase.head;
  const at = (where: number) => Array.from({ length: samples }, (_, i) => [...logitsAt(testCase, i, where)]);
  const [z0, z1, zm] = [at(0), at(1), at(alpha)];
  const all = Array.from({ length: samples }, (_, i) => i);
  const confidence = (z: number[][]) => {
    const right = (i: number) => argmax(z[i]!) === labels[i]!;
    return {
      top1: all.filter(right).length / samples,
      confidence: mean(z.map((one) => Math.max(...softmax(one)))),
      marginRight: mean(all.filter(right).map((i) => margin(z[i]!))),
      marginWrong: mean(all.filter((i) => !right(i)).map((i) => margin(z[i]!))),
    };
  };
  const [c0, c1, cm] = [z0, z1, zm].map((z) => z.map(argmax));
  const differ = all.filter((i) => c0![i] !== c1![i]);
  const override = (side: number[]) => ({
    samples: side.length,
    right: side.filter((i) => cm![i] === labels[i]!).length,
    zeroshotMargin: mean(side.map((i) => margin(z0[i]!))),
    finetunedMargin: mean(side.map((i) => margin(z1[i]!))),
  });
  const share = (predictions: number[], c: number) => predictions.filter((p) => p === c).length / samples;
  const chance = sum(Array.from({ length: classes }, (_, c) => share(c0!, c) * share(c1!, c)));
  const kl = (x: number[][], y: number[][]) =>
    mean(
      all.map((i) => {
        const [p, q] = [softmax(x[i]!), softmax(y[i]!)];
        return sum(p.map((v, c) => v * Math.log(v / q[c]!)));
      }),
    );
  const ensemble = all.map((i) => {
    const [p, q] = [softmax(z0[i]!), softmax(z1[i]!)];
    return p.map((v, c) => (1 - alpha) * v + alpha * q[c]!);
  });
  return {
    alpha,
    zeroshot: confidence(z0),
    finetuned: confidence(z1),
    merged: confidence(zm),
    // κ = (observed − chance) / (1 − chance)
    kappaComplement: 1 - ((samples - differ.length) / samples - chance) / (1 - chance),
    kl: { zeroshotFinetuned: kl(z0, z1), finetunedZeroshot: kl(z1, z0) },
    overrides: {
      zeroshot: override(differ.filter((i) => cm![i] === c0![i])),
      finetuned: override(differ.filter((i) => cm![i] === c1![i])),
      neither: override(differ.filter((i) => cm![i] !== c0![i] && cm![i] !== c1![i])),
    },
    probabilityEnsemble: {
      top1: all.filter((i) => argmax(ensemble[i]!) === labels[i]!).length / samples,
      nll: mean(all.map((i) => -Math.log(ensemble[i]![labels[i]!]!))),
      disagreement: all.filter((i) => argmax(ensemble[i]!) !== cm![i]).length / samples,
    },
  };
}

/** Counts exactly, the rest up to the rounding of f32 logits. */
function expectClose(got: unknown, expected: unknown, path = ''): void {
  if (typeof expected === 'object' && expected !== null) {
    expect(Object.keys(got as object), path).toEqual(Object.keys(expected));
    for (const [key, value] of Object.entries(expected))
      expectClose((got as Record<string, unknown>)[key], value, `${path}.${key}`);
  } else if (typeof expected !== 'number' || Number.isInteger(expected)) expect(got, path).toBe(expected);
  else expect(Math.abs((got as number) - expected), path).toBeLessThan(2e-5);
}

describe('outputs of the ends and of the merged model', () => {
  test.each([
    ['biased', headCase(400, 7, 12, { seed: 5, biased: true }), 0.35],
    ['bf16', headCase(300, 12, 20, { seed: 6, dtype: 'BF16' }), 0.5],
    ['an end', headCase(200, 5, 8, { seed: 7 }), 1],
  ])('are what their definitions give (%s)', async (_, testCase, alpha) => {
    using session = new HeadSession(engine, testCase.head, [testCase.set]);
    const got = await compareOutputs(session, testCase.set, alpha);
    expectClose(got, oracle(testCase, alpha));
    const { zeroshot, finetuned, neither } = got.overrides;
    const { metrics } = await evaluateHead(session, testCase.set, [0, alpha]);
    const differ = zeroshot.samples + finetuned.samples + neither.samples;
    expect(differ).toBe(Math.round(metrics[0]!.disagreement.finetuned * testCase.set.samples));
    expect(got.merged.top1).toBe(metrics[1]!.top1);
  });

  test('weights averaged and logits averaged are one model (Proposition 1), probabilities another', async () => {
    const testCase = headCase(2000, 8, 16, { seed: 9 });
    using session = new HeadSession(engine, testCase.head, [testCase.set]);
    using weights = new HeadSession(engine, testCase.head, [testCase.set], { alpha: 0.4 });
    const averaged = await evaluateModel(weights, testCase.set);
    const { merged, probabilityEnsemble } = await compareOutputs(session, testCase.set, 0.4);
    expect(merged.top1).toBe(averaged.top1);
    expect(probabilityEnsemble!.disagreement).toBeGreaterThan(0);
    expect(Math.abs(probabilityEnsemble!.nll - averaged.nll)).toBeGreaterThan(1e-3);
  });

  test('do not depend on how much memory there is', async () => {
    const testCase = headCase(20_000, 6, 10, { seed: 8 });
    using wide = new HeadSession(engine, testCase.head, [testCase.set]);
    using narrow = new HeadSession(engine, testCase.head, [testCase.set], { memory: 3 << 20 });
    expect(await compareOutputs(narrow, testCase.set, 0.5)).toEqual(
      await compareOutputs(wide, testCase.set, 0.5),
    );
  });

  test('of one model twice agree', async () => {
    const testCase = headCase(100, 4, 6, { seed: 11 });
    const head = { ...testCase.head, finetuned: testCase.head.zeroshot };
    using session = new HeadSession(engine, head, [testCase.set]);
    const got = await compareOutputs(session, testCase.set, 0.5);
    expect(got.kappaComplement).toBe(0);
    expect(got.kl).toEqual({ zeroshotFinetuned: 0, finetunedZeroshot: 0 });
    expect(got.overrides.zeroshot).toEqual({
      samples: 0,
      right: 0,
      zeroshotMargin: null,
      finetunedMargin: null,
    });
    expect(got.probabilityEnsemble!.disagreement).toBe(0);
  });

  test('confident beyond underflow have finite likelihoods; beyond the ends there is no average', async () => {
    const testCase = headCase(50, 4, 6, { seed: 12 });
    const values = new Float32Array(testCase.head.zeroshot.slice().buffer).map((w) => 5000 * w);
    const zeroshot = new Uint8Array(values.buffer);
    using session = new HeadSession(engine, { ...testCase.head, zeroshot }, [testCase.set]);
    const at = await compareOutputs(session, testCase.set, 0);
    expect(at.probabilityEnsemble!.nll).toBeGreaterThan(100);
    expect(Number.isFinite(at.probabilityEnsemble!.nll)).toBe(true);
    expect(Number.isFinite(at.kl.finetunedZeroshot)).toBe(true);
    expect((await compareOutputs(session, testCase.set, 1.5)).probabilityEnsemble).toBeNull();
  });
});
