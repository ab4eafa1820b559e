import { describe, expect, test } from 'vitest';
import { isCorrectAt } from '../../lib/eval/correct-intervals.js';
import { CurveSession, evaluateCurve } from '../../lib/eval/head-curve.js';
import { evaluateHead } from '../../lib/eval/head-evaluation.js';
import { HeadSession } from '../../lib/eval/head-session.js';
import { Engine, type EngineOptions } from '../../lib/native.js';
import { type HeadCase, headCase, logitsAt } from '../support/heads.js';

const cases: [string, HeadCase][] = [
  ['f32', headCase(700, 120, 64, { seed: 3 })],
  ['bf16 with biases', headCase(300, 33, 47, { dtype: 'BF16', biased: true, seed: 5 })],
  ['two classes', headCase(150, 2, 7, { seed: 9 })],
];
const levels: EngineOptions[] = [
  { isa: 'baseline', threads: 1 },
  { isa: 'avx2', threads: 2 },
  { threads: 1 },
  { threads: 3 },
];
const alphas = [0, 0.3, 1];

describe.each(cases)('the curve of a head of %s', (_, { head, set }) => {
  const groups = { names: ['a', 'b'], ids: set.labels.map((_label, i) => i % 2) };

  test.each(levels)('is that of all metrics, to the bit: %o', async (options) => {
    using engine = new Engine(options);
    using logits = new HeadSession(engine, head, [set]);
    const expected = await evaluateHead(logits, { ...set, groups }, alphas);
    // Room for 64 samples at a time, and for all.
    const weights = Math.ceil((2 * head.zeroshot.byteLength + 8 * head.classes) / 64) * 64;
    for (const memory of [weights + 1024 + 66 * (8 * head.dimension + 21), 2 ** 28]) {
      using session = new CurveSession(engine, head, [set], { memory });
      const { intervals, metrics } = await evaluateCurve(session, { ...set, groups }, alphas);
      expect(intervals).toEqual(expected.intervals);
      for (const [k, one] of metrics.entries()) {
        const { samples, top1, meanPerClass, groups: byGroup, worstGroup } = expected.metrics[k]!;
        expect(one).toEqual({ samples, top1, meanPerClass, groups: byGroup, worstGroup });
      }
    }
  });
});

test('beyond 0 to 1 the curve is brute force', async () => {
  const testCase = headCase(200, 40, 30, { seed: 12 });
  using engine = new Engine();
  using session = new CurveSession(engine, testCase.head, [testCase.set]);
  const progress: number[] = [];
  const { intervals } = await evaluateCurve(session, testCase.set, [-0.5, 1.5], {
    domain: [-1, 1.2],
    onSamples: (done) => progress.push(done),
  });
  expect(intervals.domain).toEqual([-1, 1.5]);
  expect(progress).toEqual([200]);
  let clear = 0;
  for (let k = 0; k <= 50; k++) {
    const alpha = -1 + k / 20;
    for (let i = 0; i < testCase.set.samples; i++) {
      const z = logitsAt(testCase, i, alpha);
      const label = testCase.set.labels[i]!;
      const rival = Math.max(...z.filter((_, c) => c !== label));
      // Closer calls than the rounding of logits are nobody's.
      if (Math.abs(z[label]! - rival) < 1e-4) continue;
      clear++;
      expect(isCorrectAt(intervals, i, alpha)).toBe(z[label]! > rival);
    }
  }
  expect(clear).toBeGreaterThan(10_000);
});

test('a device that has no such call computes the logits', async () => {
  const { head, set } = headCase(200, 40, 30, { seed: 14, biased: true });
  using engine = new Engine();
  using session = new CurveSession(engine, head, [set]);
  using other = new Engine();
  Object.defineProperty(other, 'device', { value: { ...engine.device, backend: 'cuda' } });
  other.headCurve = () => Promise.reject(new Error('called'));
  using fallback = new CurveSession(other, head, [set]);
  expect(await evaluateCurve(fallback, set, [0.5])).toEqual(await evaluateCurve(session, set, [0.5]));
});

test('what cannot be evaluated is a typed error', async () => {
  const { head, set } = headCase(100, 5, 8);
  using engine = new Engine();
  const code = (change: object, memory?: number) => {
    try {
      using _session = new CurveSession(engine, head, [{ ...set, ...change }], { ...(memory && { memory }) });
      return 'none';
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };
  expect(code({})).toBe('none');
  expect(code({ dimension: 9 })).toBe('ERR_DATA_MISMATCH');
  expect(code({ labels: set.labels.map(() => 5) })).toBe('ERR_DATA_MISMATCH');
  expect(code({}, 1000)).toBe('ERR_MEMORY');
  using session = new CurveSession(engine, head, [set]);
  const reason = new Error('enough');
  await expect(session.intervals(set, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const failing = { ...set, readFeatures: () => Promise.reject(new Error('disk')) };
  await expect(session.intervals(failing)).rejects.toThrow('disk');
});
