// one-se where no standard error is defined: an infinite one would admit every alpha.
import { describe, expect, it } from 'vitest';
import type { AnalysedSet } from '../../lib/selection/analysis.js';
import { curvesOf } from '../../lib/selection/curves.js';
import { parseRule } from '../../lib/selection/rule.js';
import { checkRule, select } from '../../lib/selection/rules.js';
import { analyse, crossValidate } from '../support/finished.js';
import { nestedBits, outcomeSet } from '../support/outcomes.js';

const alphas = Float64Array.of(0, 0.5, 1);
const bits = nestedBits([0.3, 0.5, 0.8], 60);
const grouped = (groups: number) => ({ groups: Int32Array.from({ length: 60 }, (_, i) => i % groups) });
const outcomes = (groups: number) => ({
  alphas,
  sets: [outcomeSet('val', 'id', bits, grouped(groups)), outcomeSet('far', 'shift', bits)],
});
const refused = expect.objectContaining({
  code: 'ERR_USAGE',
  message: expect.stringContaining('set val has one group'),
  hint: expect.stringContaining('max-mean'),
});

describe('one-se on one group', () => {
  it.each(['one-se', 'one-se:max-id', 'one-se:max-worst', 'one-se:max-shift:id-within=0.5'])(
    'is refused by %s, at the start and when choosing',
    (rule) => {
      expect(() => select(curvesOf(outcomes(1)), parseRule(rule))).toThrow(refused);
      const named = { name: 'val', role: 'select', kind: 'id' } as const;
      const groups = { names: ['a'], ids: new Int32Array(60) };
      const far = { name: 'far', role: 'select', kind: 'shift' } as const;
      expect(() => checkRule(parseRule(rule), [...alphas], [{ ...named, groups }, far])).toThrow(refused);
      checkRule(parseRule(rule), [...alphas], [named, far]);
    },
  );

  it('does not matter where the rule does not use the set, nor to other rules', () => {
    expect(select(curvesOf(outcomes(1)), parseRule('one-se:max-shift')).alpha).toBe(1);
    expect(select(curvesOf(outcomes(1)), parseRule('max-mean')).alpha).toBe(1);
    expect(select(curvesOf(outcomes(2)), parseRule('one-se')).alpha).toBe(1);
  });

  it('in a training fold takes the cross-validation with it, and is noted', () => {
    const analysed = (groups: number, rule: string, folds?: number) => {
      const ids = grouped(groups).groups;
      const names = Array.from({ length: groups }, (_, g) => `g${g}`);
      const set: AnalysedSet = {
        ...{ name: 'val', role: 'select', kind: 'id', correct: bits, groups: { names, ids } },
      };
      const options = { rule: parseRule(rule), replicates: 20, seed: 0, ...(folds && { folds }) };
      return analyse([...alphas], [set], options).firmness!;
    };
    for (const [groups, folds] of [
      [2, undefined],
      [3, 2],
    ] as const) {
      const { crossValidation, crossValidationNote } = analysed(groups, 'one-se', folds);
      expect(crossValidation).toBeNull();
      expect(crossValidationNote).toBe(
        'There is no cross-validation of one-se:max-mean: without a fold set val has one group, and no standard error.',
      );
      expect(() => crossValidate(outcomes(groups), parseRule('one-se'), { folds: 2, seed: 0 })).toThrow(
        refused,
      );
      expect(analysed(groups, 'max-mean', folds).crossValidation).not.toBeNull();
    }
    expect(analysed(3, 'one-se').crossValidation!.folds).toBe(3);
  });
});
