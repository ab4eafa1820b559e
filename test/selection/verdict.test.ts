import { describe, expect, it } from 'vitest';
import type { Outcomes } from '../../lib/selection/curves.js';
import { parseRule } from '../../lib/selection/rule.js';
import { judge, resample, resampleOutcomes } from '../support/finished.js';
import { nestedBits, outcomeSet, randomBits } from '../support/outcomes.js';

const alphas = Float64Array.of(0, 0.25, 0.5, 0.75, 1);
const on = (...sets: Outcomes['sets'][number][]): Outcomes => ({ alphas, sets });
const verdict = (outcomes: Outcomes, rule: string) =>
  judge(outcomes, parseRule(rule), resampleOutcomes(outcomes, 1000, 1));

describe('the verdict', () => {
  it('is silent where one alpha is ahead of all others beyond doubt', () => {
    const result = verdict(on(outcomeSet('id', 'id', nestedBits([0.4, 0.6, 0.9, 0.7, 0.5], 1000))), 'max-id');
    expect(result).toMatchObject({ alpha: 0.5, indistinguishable: [0.5], warnings: [] });
    expect(result.comparisons.map(({ against, alpha }) => [against, alpha])).toEqual([
      ['runner-up', 0.75],
      ['zero-shot', 0],
      ['fine-tuned', 1],
    ]);
    const [runnerUp] = result.comparisons;
    expect(runnerUp!.difference).toBeCloseTo(0.2, 12);
    // A fifth of the samples differ, all one way: wider than the normal interval of that share alone, narrower than
    // Bonferroni's for four alphas.
    const error = Math.sqrt((0.2 * 0.8) / 1000);
    for (const half of [0.2 - runnerUp!.interval!.lower, runnerUp!.interval!.upper - 0.2]) {
      expect(half / error).toBeGreaterThan(2.05);
      expect(half / error).toBeLessThan(2.65);
    }
  });

  it('warns with figures where the lead is inside the noise', () => {
    const result = verdict(
      on(outcomeSet('id', 'id', randomBits([0.2, 0.6, 0.61, 0.6, 0.6], 100, 3))),
      'max-id',
    );
    const [runnerUp, zeroshot] = result.comparisons;
    expect(runnerUp).toMatchObject({ against: 'runner-up', insideNoise: true });
    expect(zeroshot).toMatchObject({ against: 'zero-shot', insideNoise: false });
    expect(zeroshot!.difference).toBeGreaterThan(0.2);
    expect(result.indistinguishable).toContain(result.alpha);
    expect(result.indistinguishable!.length).toBeGreaterThan(2);
    expect(result.indistinguishable).not.toContain(0);
    expect(result.warnings[0]).toMatch(
      /^The lead of alpha [\d.]+ over the runner-up \(alpha [\d.]+\) is inside the noise: [\d.]+ pp, simultaneous 95 % interval \[-[\d.]+, [\d.]+\] pp\.$/,
    );
    expect(result.warnings.some((text) => /cannot tell alpha .* other alphas/.test(text))).toBe(true);
    expect(result.warnings.some((text) => /would choose alpha from 0\.25 to/.test(text))).toBe(true);
    expect(result.warnings.some((text) => /too high, because alpha was chosen/.test(text))).toBe(true);
  });

  it('does not take the luckiest of equal alphas for better than the ends', () => {
    const many = Float64Array.from({ length: 21 }, (_, k) => k / 20);
    const flat = new Array<number>(21).fill(0.7);
    let sure = 0;
    for (let t = 0; t < 60; t++) {
      const outcomes = { alphas: many, sets: [outcomeSet('id', 'id', randomBits(flat, 300, 40 + t))] };
      const { comparisons, indistinguishable } = judge(
        outcomes,
        parseRule('max-id'),
        resampleOutcomes(outcomes, 200, t),
      );
      for (const { alpha, insideNoise } of comparisons)
        expect(insideNoise).toBe(indistinguishable!.includes(alpha));
      if (comparisons.some(({ against, insideNoise }) => against !== 'runner-up' && !insideNoise)) sure++;
    }
    // Intervals of one comparison at a time call it sure in half of the cases.
    expect(sure).toBeLessThan(15);
  });

  it('says so where the chosen alpha is below an end, or is one', () => {
    const falling = on(outcomeSet('id', 'id', nestedBits([0.9, 0.8, 0.7, 0.6, 0.5], 1000)));
    const fixed = verdict(falling, 'fixed:0.5');
    expect(fixed.comparisons.map(({ against }) => against)).toEqual(['zero-shot', 'fine-tuned']);
    expect(fixed.warnings).toEqual([
      expect.stringMatching(/^Alpha 0\.5 is below the zero-shot end \(alpha 0\): -20\.00 pp/),
    ]);
    const end = verdict(falling, 'max-id');
    expect(end.comparisons.map(({ against }) => against)).toEqual(['runner-up', 'fine-tuned']);
    expect(end.warnings).toEqual([expect.stringMatching(/^Alpha 0 is the lowest that was evaluated/)]);
  });

  it('compares on the rule’s own accuracy: the weighted mean of its sets', () => {
    const outcomes = on(
      outcomeSet('id', 'id', nestedBits([0.5, 0.6, 0.7, 0.8, 0.9], 100)),
      outcomeSet('s', 'shift', nestedBits([0.6, 0.9, 0.8, 0.3, 0.1], 100)),
      outcomeSet('kept', 'shift', nestedBits([1, 0, 0, 0, 1], 100), { role: 'report' }),
    );
    const { alpha, comparisons } = verdict(outcomes, 'max-mean:id=1,s=3');
    expect(alpha).toBe(0.25);
    // (.6 + 2.7) / 4 = .825 against .775, .575 and .3.
    expect(comparisons.map(({ difference }) => Number(difference.toFixed(9)))).toEqual([0.05, 0.25, 0.525]);
  });

  it('refuses resamples of other sets', () => {
    const outcomes = on(outcomeSet('id', 'id', nestedBits([0.5, 0.6, 0.7, 0.8, 0.9], 100)));
    const other = resample([nestedBits([0.5, 0.6], 100)], 10, 1);
    expect(() => judge(outcomes, parseRule('max-id'), other)).toThrow(
      expect.objectContaining({ code: 'ERR_DATA_MISMATCH' }),
    );
  });
});
