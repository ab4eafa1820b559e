import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CorrectIntervals, isCorrectAt } from '../../lib/eval/correct-intervals.js';
import { evaluateHead, evaluateModel } from '../../lib/eval/head-evaluation.js';
import { HeadSession } from '../../lib/eval/head-session.js';
import { Engine, maxBufferBytes } from '../../lib/native.js';
import { type HeadCase, headCase, logitsAt, noise } from '../support/heads.js';

let engine: Engine;
beforeAll(() => {
  engine = new Engine();
});
afterAll(() => engine.close());

const argmax = (z: Float64Array) => z.reduce((best, v, c) => (v > z[best]! ? c : best), 0);

/** scikit-learn's definitions in f64: accuracy, balanced accuracy, log loss, and macro F1 with the labels that occur, as WILDS takes it. */
function scores(testCase: HeadCase, alpha: number) {
  const { labels, samples } = testCase.set;
  const classes = testCase.head.classes;
  const table = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  let [nll, brier, top5] = [0, 0, 0];
  const bins = Array.from({ length: 15 }, () => [0, 0, 0] as [number, number, number]);
  for (let i = 0; i < samples; i++) {
    const z = logitsAt(testCase, i, alpha);
    const label = labels[i]!;
    const top = Math.max(...z);
    const e = z.map((v) => Math.exp(v - top));
    const sum = e.reduce((a, b) => a + b);
    nll += Math.log(sum) + top - z[label]!;
    brier += e.reduce((total, v, c) => total + (v / sum - Number(c === label)) ** 2, 0);
    top5 += Number(z.filter((v, c) => v > z[label]! || (v === z[label] && c < label)).length < 5);
    const predicted = argmax(z);
    table[label]![predicted]! += 1;
    const bin = bins[Math.max(0, Math.ceil((1 / sum) * 15) - 1)]!;
    bin[0] += 1;
    bin[1] += Number(predicted === label);
    bin[2] += 1 / sum;
  }
  const support = table.map((row) => row.reduce((a, b) => a + b));
  const predicted = table.map((_, c) => table.reduce((sum, row) => sum + row[c]!, 0));
  const recalls = table.flatMap((row, c) => (support[c] ? [row[c]! / support[c]!] : []));
  const f1 = table.flatMap((row, c) => {
    if (!support[c]) return [];
    return [(2 * row[c]!) / (support[c]! + predicted[c]!)];
  });
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  return {
    top1: table.reduce((sum, row, c) => sum + row[c]!, 0) / samples,
    top5: top5 / samples,
    meanPerClass: mean(recalls),
    macroF1: mean(f1),
    nll: nll / samples,
    brier: brier / samples,
    ece: bins.reduce((sum, [, hits, confidence]) => sum + Math.abs(hits - confidence), 0) / samples,
    table,
  };
}

/** Only even classes occur. */
function withoutOdd(testCase: HeadCase): HeadCase {
  const labels = testCase.set.labels.map((label) => label - (label % 2));
  return { ...testCase, set: { ...testCase.set, labels } };
}

const cases: [string, HeadCase][] = [
  ['f32', headCase(300, 12, 20, { seed: 3 })],
  ['bf16 with biases', headCase(200, 33, 48, { dtype: 'BF16', biased: true, seed: 5 })],
  ['two classes', headCase(150, 2, 7, { seed: 9 })],
  ['classes of which some are predicted and never occur', withoutOdd(headCase(200, 8, 12, { seed: 4 }))],
];

/** Counts [label][predicted] of the engine's predictions, which go where outputs would. */
async function confusion(
  session: HeadSession,
  { set, head: { classes } }: HeadCase,
  alpha: number,
  intervals: CorrectIntervals,
): Promise<number[][]> {
  const { arena, outputs, sums } = session;
  const table = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  await session.forEach(set, async ({ first, rows, lo, hi, open, numbers }) => {
    arena.doubles(lo, rows).set(intervals.lo.subarray(first, first + rows));
    arena.doubles(hi, rows).set(intervals.hi.subarray(first, first + rows));
    arena.bytes(open, rows).set(intervals.open.subarray(first, first + rows));
    const row = [...numbers, lo, hi, open, sums, -1, outputs];
    await engine.headMetrics(arena.buffer, row, Float64Array.of(alpha));
    for (const [i, predicted] of arena.ints(outputs, rows).entries()) {
      table[set.labels[first + i]!]![predicted]! += 1;
    }
  });
  return table;
}

describe.each(cases)('a head of %s', (_, testCase) => {
  const alphas = [0, 0.3, 0.5, 1];

  test('metrics equal their definitions in f64', async () => {
    using session = new HeadSession(engine, testCase.head, [testCase.set]);
    const { metrics, intervals } = await evaluateHead(session, testCase.set, alphas);
    for (const [k, alpha] of alphas.entries()) {
      const expected = scores(testCase, alpha);
      const got = metrics[k]!;
      expect(got.top1).toBe(expected.top1);
      expect(got.top5).toBe(expected.top5);
      expect(got.meanPerClass).toBeCloseTo(expected.meanPerClass, 12);
      expect(got.macroF1).toBeCloseTo(expected.macroF1, 12);
      expect(Math.abs(got.nll / expected.nll - 1)).toBeLessThan(1e-5);
      expect(Math.abs(got.brier / expected.brier - 1)).toBeLessThan(1e-5);
      expect(Math.abs(got.ece - expected.ece)).toBeLessThan(1e-5);
      expect(await confusion(session, testCase, alpha, intervals)).toEqual(expected.table);
    }
    expect(metrics[0]!.disagreement.zeroshot).toBe(0);
    expect(metrics[3]!.disagreement.finetuned).toBe(0);
    expect(metrics[3]!.disagreement.zeroshot).toBe(metrics[0]!.disagreement.finetuned);
  });

  test('the exact path is brute force at random alphas', async () => {
    using session = new HeadSession(engine, testCase.head, [testCase.set]);
    const { intervals } = await evaluateHead(session, testCase.set, []);
    const random = noise(77);
    let ambiguous = 0;
    for (let n = 0; n < 100; n++) {
      const alpha = (random() + 1) / 2;
      for (let i = 0; i < testCase.set.samples; i++) {
        const z = logitsAt(testCase, i, alpha);
        const label = testCase.set.labels[i]!;
        const rival = Math.max(...z.filter((_, c) => c !== label));
        // The path is exact for the logits that single precision gives: closer calls than its rounding are
        // nobody's.
        if (Math.abs(z[label]! - rival) < 1e-4) ambiguous++;
        else expect(isCorrectAt(intervals, i, alpha)).toBe(argmax(z) === label);
      }
    }
    expect(ambiguous).toBeLessThan(testCase.set.samples);
  });
});

test('a linear head: the weight ensemble is the output ensemble to 1e-5', async () => {
  const testCase = headCase(256, 10, 64, { seed: 21 });
  using session = new HeadSession(engine, testCase.head, [testCase.set]);
  const alphas = [0.2, 0.5, 0.8];
  // The session evaluates (1 - alpha) z0 + alpha z1, which is the output ensemble; `single` multiplies by the
  // interpolated weights.
  const { metrics } = await evaluateHead(session, testCase.set, alphas);
  for (const [k, alpha] of alphas.entries()) {
    using single = new HeadSession(engine, testCase.head, [testCase.set], { alpha });
    const weightEnsemble = await evaluateModel(single, testCase.set);
    expect(Math.abs(weightEnsemble.nll - metrics[k]!.nll)).toBeLessThan(1e-5);
    expect(Math.abs(weightEnsemble.brier - metrics[k]!.brier)).toBeLessThan(1e-5);
    expect(weightEnsemble.top1).toBe(metrics[k]!.top1);
    expect(weightEnsemble.disagreement).toEqual({ zeroshot: 0, finetuned: 0 });
  }
});

test('a budget beyond what one buffer of this Node holds is used as far as it goes', () => {
  const { head, set } = headCase(10, 1000, 1);
  const samples = 800_000;
  const many = { ...set, samples, labels: new Int32Array(samples) };
  using session = new HeadSession(engine, head, [many], { memory: 5 * 2 ** 30 });
  const { byteLength } = session.arena.buffer;
  expect(byteLength).toBeLessThanOrEqual(maxBufferBytes);
  expect(byteLength).toBeGreaterThan(3.5 * 2 ** 30);
});

test('results depend on neither the memory budget nor the number of threads', async () => {
  const testCase = headCase(20_000, 40, 16, { seed: 4 });
  const results = [];
  for (const [memory, threads] of [
    [2 ** 30, 1],
    [16 << 20, 2],
  ] as const) {
    using own = new Engine({ threads });
    using session = new HeadSession(own, testCase.head, [testCase.set], { memory });
    const once = await evaluateHead(session, testCase.set, [0, 0.4, 1]);
    // Batches that had to make room are computed again.
    expect(await evaluateHead(session, testCase.set, [0, 0.4, 1])).toEqual(once);
    results.push(once);
  }
  expect(results[1]).toEqual(results[0]);
});

test('groups: accuracy of each and the worst', async () => {
  const testCase = headCase(120, 6, 10, { seed: 8 });
  const groups = {
    names: ['day', 'night'],
    ids: Int32Array.from({ length: 120 }, (_, i) => Number(i % 3 === 0)),
  };
  using session = new HeadSession(engine, testCase.head, [testCase.set]);
  const { metrics, intervals } = await evaluateHead(session, { ...testCase.set, groups }, [0.5]);
  const share = (id: number) => {
    const members = [...groups.ids.keys()].filter((i) => groups.ids[i] === id);
    return members.filter((i) => isCorrectAt(intervals, i, 0.5)).length / members.length;
  };
  expect(metrics[0]!.groups).toEqual([
    { name: 'day', samples: 80, top1: share(0) },
    { name: 'night', samples: 40, top1: share(1) },
  ]);
  expect(metrics[0]!.worstGroup!.top1).toBe(Math.min(share(0), share(1)));
});

test('more alphas than one call takes give what single calls give', async () => {
  const testCase = headCase(100, 5, 8, { seed: 2 });
  using session = new HeadSession(engine, testCase.head, [testCase.set]);
  const alphas = Array.from({ length: 71 }, (_, k) => k / 70);
  const { metrics } = await evaluateHead(session, testCase.set, alphas);
  for (const k of [0, 31, 32, 70]) {
    const single = (await evaluateHead(session, testCase.set, [alphas[k]!])).metrics[0]!;
    // Neighbours share exponentials: sums of them differ in the last digits, whatever is counted does not.
    const { nll, brier, ece, nllStandardError, ...counted } = metrics[k]!;
    expect(single).toMatchObject(counted);
    for (const [got, wanted] of [
      [nll, single.nll],
      [brier, single.brier],
      [ece, single.ece],
      [nllStandardError, single.nllStandardError],
    ]) {
      expect(Math.abs(got! - wanted!)).toBeLessThan(1e-6);
    }
  }
});

test('what cannot be evaluated is a typed error before any work', () => {
  const testCase = headCase(10, 5, 8);
  const code = (change: object, memory?: number) => {
    try {
      new HeadSession(engine, testCase.head, [{ ...testCase.set, ...change }], { ...(memory && { memory }) });
      return 'none';
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };
  expect(code({})).toBe('none');
  expect(code({ dimension: 9 })).toBe('ERR_DATA_MISMATCH');
  expect(code({ labels: Int32Array.from({ length: 10 }, () => 5) })).toBe('ERR_DATA_MISMATCH');
  expect(code({ samples: 0, labels: new Int32Array(0) })).toBe('ERR_DATA_MISMATCH');
  expect(code({}, 1000)).toBe('ERR_MEMORY');
});

test('an abort ends the evaluation with the reason of the signal', async () => {
  const testCase = headCase(100, 5, 8);
  using session = new HeadSession(engine, testCase.head, [testCase.set]);
  const reason = new Error('enough');
  await expect(
    evaluateHead(session, testCase.set, [0.5], { signal: AbortSignal.abort(reason) }),
  ).rejects.toBe(reason);
});

test('a file that cannot be read fails the evaluation, once', async () => {
  const testCase = headCase(20_000, 5, 8);
  const failing = {
    ...testCase.set,
    readFeatures: async (first: number) => {
      if (first > 0) throw new Error('disk');
    },
  };
  using session = new HeadSession(engine, testCase.head, [failing]);
  await expect(evaluateHead(session, failing, [0.5])).rejects.toThrow('disk');
});
