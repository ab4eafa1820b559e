import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evidenceOf, kneeHeights, objectiveOf, pairedStandardError } from '../../lib/selection/criteria.js';
import type { CurveSet, Curves } from '../../lib/selection/curves.js';
import { curvesOf } from '../../lib/selection/curves.js';
import { formatRule, parseRule, type Rule } from '../../lib/selection/rule.js';
import { select } from '../../lib/selection/rules.js';
import { nestedBits, outcomeSet, randomBits } from '../support/outcomes.js';
import { publishedCurves } from '../support/published.js';

const choose = (curves: Curves, rule: string) => select(curves, parseRule(rule));

function curves(alphas: readonly number[], sets: Record<string, readonly number[]>): Curves {
  return {
    alphas: Float64Array.from(alphas),
    sets: Object.entries(sets).map(
      ([name, accuracy]): CurveSet => ({
        name,
        role: name.startsWith('report') ? 'report' : 'select',
        kind: name.includes('id') ? 'id' : 'shift',
        samples: 100,
        accuracy: Float64Array.from(accuracy),
      }),
    ),
  };
}

describe('on the published ViT-B/16 curve', () => {
  const published = publishedCurves();
  it.each([
    ['max-shift', 0.4, [0.4], 0.635],
    ['max-id', 0.65, [0.65, 0.7, 0.75], 0.826],
    ['max-mean', 0.5, [0.5, 0.55], 0.7235],
    ['max-shift:id-within=0.01', 0.5, [0.5], 0.63],
    ['max-shift:id-within=0', 0.65, [0.65], 0.614],
    ['max-worst', 0.4, [0.4], 0.635],
    ['max-mean:imagenet=1', 0.65, [0.65, 0.7, 0.75], 0.826],
    ['max-mean:shifts=2,imagenet=0', 0.4, [0.4], 0.635],
    ['fixed:0.5', 0.5, [0.5], 0.7235],
  ] as const)('%s chooses alpha %f', (rule, alpha, ties, objective) => {
    const selection = choose(published, rule);
    expect(selection).toMatchObject({ alpha, ties, rule });
    expect(selection.objective).toBeCloseTo(objective, 12);
    expect(published.alphas[selection.index]).toBe(alpha);
    expect(selection.explanation).toContain(String(alpha));
  });

  it('the knee is .50, tied with .55: 2.8 of 2.1 pp from the ends of the frontier .40 to .65', () => {
    const selection = choose(published, 'knee');
    expect(selection).toMatchObject({ alpha: 0.5, ties: [0.5, 0.55] });
    expect(selection.objective).toBeCloseTo((2.8 / 2.1 - 1) / Math.SQRT2, 10);
  });

  it('the runner-up is the best that is not tied', () => {
    expect(choose(published, 'max-id').runnerUp).toEqual({
      alpha: 0.8,
      objective: expect.closeTo(0.825, 12),
      difference: expect.closeTo(0.001, 12),
    });
    expect(choose(published, 'max-shift').runnerUp?.alpha).toBe(0.35);
    expect(choose(published, 'fixed:0.5').runnerUp).toBeNull();
  });
});

describe('ties', () => {
  it('go to the alpha nearest the zero-shot model, also beyond it', () => {
    const flat = curves([-1, -0.25, 0.5, 1], { id: [0.5, 0.5, 0.5, 0.5] });
    expect(choose(flat, 'max-id')).toMatchObject({ alpha: -0.25, ties: [-1, -0.25, 0.5, 1], runnerUp: null });
  });

  it('are within 1e-12 and no wider', () => {
    const near = curves([0, 0.5, 1], { id: [0.5 - 5e-13, 0.5 - 5e-12, 0.5] });
    expect(choose(near, 'max-id')).toMatchObject({ alpha: 0, ties: [0, 1] });
  });
});

describe('rules by brute force', () => {
  const fraction = fc.integer({ min: 0, max: 20 }).map((value) => value / 20);
  const triple = fc.array(fc.tuple(fraction, fraction, fraction), { minLength: 1, maxLength: 9 });

  it('choose the first of the best alphas', () => {
    fc.assert(
      fc.property(triple, fraction, (rows, within) => {
        const data = curves(
          rows.map((_, k) => k / 10),
          { id: rows.map(([id]) => id), a: rows.map(([, a]) => a), b: rows.map(([, , b]) => b) },
        );
        const argmax = (
          value: (row: readonly [number, number, number]) => number,
          ok = (_: number) => true,
        ) => {
          let best = -1;
          for (const [k, row] of rows.entries())
            if (ok(row[0]) && (best < 0 || value(row) > value(rows[best]!) + 1e-9)) best = k;
          return best;
        };
        const top = Math.max(...rows.map(([id]) => id));
        expect(choose(data, 'max-id').index).toBe(argmax(([id]) => id));
        expect(choose(data, 'max-mean').index).toBe(argmax(([id, a, b]) => id + a + b));
        expect(choose(data, 'max-mean:id=1,b=3').index).toBe(argmax(([id, , b]) => id + 3 * b));
        expect(choose(data, 'max-worst').index).toBe(argmax((row) => Math.min(...row)));
        expect(choose(data, 'max-shift').index).toBe(argmax(([, a, b]) => a + b));
        expect(choose(data, `max-shift:id-within=${within}`).index).toBe(
          argmax(
            ([, a, b]) => a + b,
            (id) => id >= top - within - 1e-9,
          ),
        );
      }),
      { numRuns: 200 },
    );
  });

  it('find the frontier point farthest from the line through its ends', () => {
    fc.assert(
      fc.property(triple, (rows) => {
        const id = Float64Array.from(rows, ([x]) => x);
        const shift = Float64Array.from(rows, ([, y]) => y);
        const heights = kneeHeights(id, shift);
        const frontier = rows.filter(
          ([x, y]) => !rows.some(([u, v]) => u >= x && v >= y && (u > x || v > y)),
        );
        const left = frontier.reduce((a, b) => (b[0] < a[0] ? b : a));
        const right = frontier.reduce((a, b) => (b[0] > a[0] ? b : a));
        for (const [k, [x, y]] of rows.entries()) {
          const on = frontier.some(([u, v]) => u === x && v === y);
          expect(heights[k]! > Number.NEGATIVE_INFINITY).toBe(on);
          if (!on) continue;
          // Cross product of the normalised chord, from (0, 1) to (1, 0), with the way to the point.
          const width = right[0] - left[0];
          const height = left[1] - right[1];
          const expected =
            width === 0 ? 0 : ((x - left[0]) / width + (y - right[1]) / height - 1) / Math.SQRT2;
          expect(heights[k]).toBeCloseTo(expected, 12);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('one standard error', () => {
  it('is that of the paired differences, sample by sample', () => {
    const sets = [
      outcomeSet('id', 'id', randomBits([0.5, 0.6, 0.7], 200, 1)),
      outcomeSet('s', 'shift', randomBits([0.6, 0.5, 0.4], 90, 2)),
    ];
    const evidence = curvesOf({ alphas: Float64Array.of(0, 0.5, 1), sets }).sets.map(evidenceOf);
    const objective = objectiveOf({ kind: 'max-mean' }, evidence);
    for (const [j, k] of [
      [0, 1],
      [1, 2],
      [2, 0],
    ] as const) {
      let variance = 0;
      for (const { correct } of sets) {
        const n = correct.columns;
        const d = Array.from({ length: n }, (_, c) => Number(correct.get(j, c)) - Number(correct.get(k, c)));
        const mean = d.reduce((a, b) => a + b) / n;
        variance += (1 / 4) * (d.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n / n);
      }
      expect(pairedStandardError(evidence, objective, j, k)).toBeCloseTo(Math.sqrt(variance), 12);
    }
    // Where the worst set differs, the two accuracies are independent.
    const worst = objectiveOf({ kind: 'max-worst' }, evidence);
    const [a, b] = [evidence[0]!.accuracy[0]!, evidence[1]!.accuracy[2]!];
    expect(pairedStandardError(evidence, worst, 0, 2)).toBeCloseTo(
      Math.sqrt((a * (1 - a)) / 200 + (b * (1 - b)) / 90),
      12,
    );
  });

  it('takes the first alpha within it of the best', () => {
    // Nested results: d of 100 samples differ, so the paired SE of a difference of d % is sqrt(d (100 - d)) / 10 %:
    // one sample less is within (1 > 0.995), two samples less are not (2 > 1.4).
    const alphas = Float64Array.of(0, 0.25, 0.5, 0.75, 1);
    const select100 = (probabilities: readonly number[], rule: string) =>
      select(
        curvesOf({ alphas, sets: [outcomeSet('id', 'id', nestedBits(probabilities, 100))] }),
        parseRule(rule),
      );
    expect(select100([0.5, 0.78, 0.79, 0.8, 0.7], 'one-se')).toMatchObject({
      alpha: 0.75,
      runnerUp: { alpha: 0.5 },
    });
    // Independent results have a wider one: sqrt(2 * .8 * .2 / 100) = 5.7 %.
    const loose = curvesOf({
      alphas,
      sets: [outcomeSet('id', 'id', randomBits([0.3, 0.8, 0.8, 0.8, 0.8], 400, 6))],
    });
    const best = choose(loose, 'max-id');
    const chosen = choose(loose, 'one-se:max-id');
    const evidence = loose.sets.map(evidenceOf);
    const se = pairedStandardError(
      evidence,
      objectiveOf({ kind: 'max-id' }, evidence),
      best.index,
      chosen.index,
    );
    expect(best.objective - chosen.objective).toBeLessThanOrEqual(se);
    expect(chosen.alpha).toBe(0.25);
    expect(best.alpha).toBeGreaterThan(0.25);
    expect(chosen.runnerUp).toEqual({
      alpha: best.alpha,
      objective: best.objective,
      difference: chosen.objective - best.objective,
    });
  });

  it('needs per-sample results', () => {
    expect(() => choose(publishedCurves(), 'one-se')).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringContaining('imagenet') }),
    );
  });
});

describe('refusals', () => {
  const idOnly = curves([0, 1], { id: [0.5, 0.6] });
  const kept = curves([0, 1], { id: [0.5, 0.6], 'report-shift': [0.5, 0.6] });
  it.each(['max-shift', 'knee', 'max-shift:id-within=0.1', 'max-mean:id=1,report-shift=1'])(
    '%s does not choose on a set kept for reporting',
    (rule) => {
      expect(() => choose(kept, rule)).toThrow(
        expect.objectContaining({
          code: 'ERR_REPORT_SET',
          message: expect.stringContaining('report-shift'),
          hint: expect.stringContaining('select'),
        }),
      );
    },
  );

  it('sets kept for reporting do not move the other rules', () => {
    const data = curves([0, 1], { id: [0.5, 0.6], 'report-shift': [1, 0] });
    for (const rule of ['max-mean', 'max-worst', 'max-id']) expect(choose(data, rule).alpha).toBe(1);
  });

  it('a missing set, alpha or name is named', () => {
    const usage = (text: string) =>
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringContaining(text) });
    expect(() => choose(idOnly, 'max-shift')).toThrow(usage('a shift set'));
    expect(() => choose(idOnly, 'knee')).toThrow(usage('a shift set'));
    expect(() => choose(curves([0, 1], { s: [0, 1] }), 'max-id')).toThrow(usage('an ID set'));
    expect(() => choose(curves([0, 1], {}), 'max-mean')).toThrow(usage('an evaluation set'));
    expect(() => choose(idOnly, 'max-mean:sketch=1')).toThrow(usage('sketch'));
    expect(() => choose(idOnly, 'fixed:0.5')).toThrow(usage('0.5'));
  });

  it('curves that are none are refused', () => {
    const code = (code: string) => expect.objectContaining({ code });
    expect(() => choose(curves([0, 1], { id: [0.5] }), 'max-id')).toThrow(code('ERR_DATA_MISMATCH'));
    expect(() => choose(curves([0, 1], { id: [50, 60] }), 'max-id')).toThrow(code('ERR_DATA'));
    expect(() => choose(curves([1, 0], { id: [0.5, 0.6] }), 'max-id')).toThrow(code('ERR_USAGE'));
    expect(() => choose(curves([], { id: [] }), 'max-id')).toThrow(code('ERR_USAGE'));
  });
});

describe('rules as text', () => {
  it('are read as written', () => {
    const weighted: Rule = {
      kind: 'max-mean',
      weights: [
        { set: 'id', weight: 1 },
        { set: 'a=b', weight: 2.5 },
      ],
    };
    const cases: [string, Rule][] = [
      ['max-id', { kind: 'max-id' }],
      ['max-mean', { kind: 'max-mean' }],
      ['max-mean: id = 1, a=b=2.5', weighted],
      ['max-shift:id-within=0.01', { kind: 'max-shift', idWithin: 0.01 }],
      ['fixed:0.5', { kind: 'fixed', alpha: 0.5 }],
      ['one-se', { kind: 'one-se', of: { kind: 'max-mean' } }],
      ['one-se:max-worst', { kind: 'one-se', of: { kind: 'max-worst' } }],
      ['one-se:max-mean:id=1,a=b=2.5', { kind: 'one-se', of: weighted }],
    ];
    for (const [text, rule] of cases) {
      expect(parseRule(text), text).toEqual(rule);
      expect(parseRule(formatRule(rule)), text).toEqual(rule);
    }
  });

  it.each([
    '',
    'best',
    'max-id:1',
    'max-worst:a',
    'knee:2',
    'fixed',
    'fixed:',
    'fixed:x',
    'max-mean:',
    'max-mean:id',
    'max-mean:=1',
    'max-mean:id=-1',
    'max-mean:id=0',
    'max-mean:id=1,id=2',
    'max-shift:0.01',
    'max-shift:id-within=',
    'max-shift:id-within=1.5',
    'max-shift:id-within=-1',
    'one-se:knee',
    'one-se:fixed:0.5',
    'one-se:one-se',
  ])('%j is refused, with the rules there are', (text) => {
    expect(() => parseRule(text)).toThrow(
      expect.objectContaining({
        code: 'ERR_USAGE',
        hint: expect.stringContaining('max-shift:id-within=0.01'),
      }),
    );
  });
});
