import { describe, expect, it } from 'vitest';
import { accuracies, curvesOf, type Outcomes } from '../../lib/selection/curves.js';
import { leaveOneShiftOut } from '../../lib/selection/leave-one-shift-out.js';
import { parseRule } from '../../lib/selection/rule.js';
import { stratifiedFolds } from '../../lib/statistics/folds.js';
import { crossValidate } from '../support/finished.js';
import { nestedBits, outcomeSet, randomBits } from '../support/outcomes.js';

const alphas = Float64Array.of(0, 0.25, 0.5, 0.75, 1);
const rising = [0.5, 0.6, 0.65, 0.7, 0.72];
const humped = [0.5, 0.56, 0.55, 0.5, 0.4];

const outcomes: Outcomes = {
  alphas,
  sets: [
    outcomeSet('id', 'id', randomBits(rising, 203, 1)),
    outcomeSet('kept', 'shift', randomBits(humped, 50, 2), { role: 'report' }),
    outcomeSet('sketch', 'shift', randomBits(humped, 97, 3), {
      labels: Array.from({ length: 97 }, (_, i) => i % 3),
    }),
  ],
};

describe('cross-validation', () => {
  it('chooses on the other folds and scores on the held-out one, as a loop over samples does', () => {
    const options = { folds: 4, repeats: 3, seed: 5 };
    const result = crossValidate(outcomes, parseRule('max-mean'), options);
    const used = [outcomes.sets[0]!, outcomes.sets[2]!];
    const partitions = used.map(({ correct, labels }, stream) =>
      stratifiedFolds(correct.columns, { ...options, stream, ...(labels && { labels }) }),
    );
    const held = [0, 0];
    const means: number[] = [];
    for (const [at, choice] of result.choices.entries()) {
      const [repeat, fold] = [Math.floor(at / 4), at % 4];
      expect(choice).toMatchObject({ repeat, fold });
      const share = (set: number, k: number, inFold: boolean): number => {
        const { correct } = used[set]!;
        const samples = Array.from({ length: correct.columns }, (_, c) => c).filter(
          (c) => (partitions[set]![repeat]![c] === fold) === inFold,
        );
        return samples.filter((c) => correct.get(k, c)).length / samples.length;
      };
      const training = [...alphas].map((_, k) => share(0, k, false) + share(1, k, false));
      const best = training.findIndex((value) => value >= Math.max(...training) - 1e-12);
      expect(choice.alpha).toBe(alphas[best]);
      for (const set of [0, 1]) {
        expect(choice.accuracy[set]).toBeCloseTo(share(set, best, true), 12);
        const size = partitions[set]![repeat]!.filter((f) => f === fold).length;
        held[set]! += (share(set, best, true) * size) / used[set]!.correct.columns / 3;
      }
      means.push((share(0, best, true) + share(1, best, true)) / 2);
    }
    expect(result).toMatchObject({ rule: 'max-mean', folds: 4, repeats: 3, sets: ['id', 'sketch'] });
    expect(result.choices).toHaveLength(12);
    expect([...result.chosen.accuracy]).toEqual(held.map((value) => expect.closeTo(value, 12)));
    expect(result.chosen.mean).toBeCloseTo((held[0]! + held[1]!) / 2, 12);
    const centre = means.reduce((a, b) => a + b) / 12;
    const variance = means.reduce((sum, m) => sum + (m - centre) ** 2, 0) / 11;
    expect(result.chosen.spread).toBeCloseTo(Math.sqrt(variance), 12);
  });

  it('scores given alphas with their accuracy on all samples, since every sample is held out once', () => {
    const { fixed, zeroshot, finetuned, refit } = crossValidate(outcomes, parseRule('max-id'), { seed: 1 });
    const used = [outcomes.sets[0]!, outcomes.sets[2]!].map(({ correct }) => accuracies(correct));
    for (const [score, k] of [
      [zeroshot, 0],
      [fixed, 2],
      [finetuned, 4],
    ] as const) {
      expect(score.alpha).toBe(alphas[k]);
      expect([...score.accuracy]).toEqual(used.map((curve) => expect.closeTo(curve[k]!, 12)));
    }
    expect(refit.index).toBe(used[0]!.indexOf(Math.max(...used[0]!)));
  });

  it.each([
    ['one-se:max-id', 'accuracy on id', ([id]: readonly number[]) => id!],
    ['max-shift', 'accuracy on sketch', ([, sketch]: readonly number[]) => sketch!],
    ['max-worst', 'accuracy on the worst of id, sketch', (all: readonly number[]) => Math.min(...all)],
    [
      'max-mean:id=3,sketch=1',
      'weighted mean accuracy of id, sketch',
      ([id, sketch]: readonly number[]) => (3 * id! + sketch!) / 4,
    ],
    ['knee', 'mean accuracy of id, sketch', ([id, sketch]: readonly number[]) => (id! + sketch!) / 2],
    ['fixed:0.5', 'mean accuracy of id, sketch', ([id, sketch]: readonly number[]) => (id! + sketch!) / 2],
  ] as const)('scores what %s maximises', (rule, objective, scored) => {
    const result = crossValidate(outcomes, parseRule(rule), { seed: 1 });
    expect(result.objective).toBe(objective);
    for (const { score, accuracy } of [result.chosen, result.fixed, result.zeroshot, result.finetuned])
      expect(score).toBeCloseTo(scored([...accuracy]), 12);
  });

  it('is not taken in by the best of equals', () => {
    // Twenty independent alphas of accuracy .5: the best on the data is well above, the held-out score is not.
    const many = Float64Array.from({ length: 20 }, (_, k) => k / 19);
    let [refit, held] = [0, 0];
    for (let t = 0; t < 40; t++) {
      const sets = [outcomeSet('id', 'id', randomBits(new Array<number>(20).fill(0.5), 400, 500 + t))];
      const result = crossValidate({ alphas: many, sets }, parseRule('max-id'), { seed: t });
      refit += result.refit.objective / 40;
      held += result.chosen.mean / 40;
    }
    // E max of 20 normals is 1.867 standard deviations of .025; the mean of 40 is good to .004.
    expect(refit).toBeGreaterThan(0.535);
    expect(Math.abs(held - 0.5)).toBeLessThan(0.016);
  });

  it('applies one-se with the standard error of the training folds, and every other rule', () => {
    for (const rule of ['one-se', 'one-se:max-worst', 'knee', 'max-shift:id-within=0.05', 'fixed:0.75']) {
      const result = crossValidate(outcomes, parseRule(rule), { seed: 2, folds: 3 });
      expect(result.choices).toHaveLength(3);
      if (rule === 'fixed:0.75') expect(result.choices.every(({ alpha }) => alpha === 0.75)).toBe(true);
    }
  });

  it('is the same for a seed, keeps groups together, and needs a set to choose on', () => {
    const run = (seed: number) => crossValidate(outcomes, parseRule('max-mean'), { seed });
    expect(run(1)).toEqual(run(1));
    expect(run(1).choices).not.toEqual(run(2).choices);
    const groups = Array.from({ length: 60 }, (_, i) => i % 4);
    const grouped = outcomeSet('id', 'id', randomBits(rising, 60, 4), { groups });
    const wide = { alphas, sets: [grouped] };
    expect(crossValidate(wide, parseRule('max-id'), { seed: 1, folds: 4 }).choices).toHaveLength(4);
    const usage = expect.objectContaining({ code: 'ERR_USAGE' });
    expect(() => crossValidate(wide, parseRule('max-id'), { seed: 1, folds: 5 })).toThrow(usage);
    const kept = { alphas, sets: [outcomes.sets[1]!] };
    expect(() => crossValidate(kept, parseRule('fixed:0.5'), { seed: 1 })).toThrow(usage);
    expect(() => crossValidate(kept, parseRule('max-shift'), { seed: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_REPORT_SET' }),
    );
  });
});

describe('leaving one shift out', () => {
  const shifts: Outcomes = {
    alphas,
    sets: [
      outcomeSet('id', 'id', nestedBits([0.5, 0.6, 0.7, 0.8, 0.9], 100)),
      outcomeSet('a', 'shift', nestedBits([0.9, 0.7, 0.6, 0.5, 0.4], 100)),
      outcomeSet('b', 'shift', nestedBits([0.5, 0.5, 0.8, 0.5, 0.5], 100)),
      outcomeSet('c', 'shift', nestedBits([0.1, 0.9, 0.1, 0.1, 0.1], 100), { role: 'report' }),
    ],
  };

  it('chooses on the others and never on the held-out or a kept one', () => {
    // max-shift without a is b's best, .5, and without b it is a's best, 0.
    expect(leaveOneShiftOut(curvesOf(shifts), parseRule('max-shift')).held).toEqual([
      {
        set: 'a',
        alpha: 0.5,
        accuracy: 0.6,
        oracle: { alpha: 0, accuracy: 0.9 },
        regret: expect.closeTo(0.3, 12),
      },
      {
        set: 'b',
        alpha: 0,
        accuracy: 0.5,
        oracle: { alpha: 0.5, accuracy: 0.8 },
        regret: expect.closeTo(0.3, 12),
      },
    ]);
  });

  it('drops the weight of the held-out shift', () => {
    for (const rule of ['max-mean:id=1,a=5,b=5', 'one-se:max-mean:a=1,b=1']) {
      const { held, notLeftOut } = leaveOneShiftOut(curvesOf(shifts), parseRule(rule));
      expect(held.map(({ alpha }) => alpha)).toEqual([0.5, 0]);
      expect(notLeftOut).toEqual([]);
    }
    // What has all the weight cannot be left out; chosen on a alone, alpha is 0, b's accuracy there .5.
    const { held, notLeftOut } = leaveOneShiftOut(curvesOf(shifts), parseRule('max-mean:a=1'));
    expect(held).toMatchObject([{ set: 'b', alpha: 0, accuracy: 0.5 }]);
    expect(notLeftOut.map(({ set }) => set)).toEqual(['a']);
  });

  it('needs two shifts to choose on', () => {
    const one = { alphas, sets: shifts.sets.filter(({ name }) => name !== 'b') };
    expect(() => leaveOneShiftOut(curvesOf(one), parseRule('max-mean'))).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringContaining('there are 1') }),
    );
  });
});
