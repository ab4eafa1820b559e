import { describe, expect, it } from 'vitest';
import { describeControl, describeDemo } from '../../lib/cli/demo-text.js';
import type { DemoResult, Estimate } from '../../lib/demo/demo.js';

const estimate = (mean: number, half: number): Estimate => ({ mean, ci95: [mean - half, mean + half] });
const scores = (zeroshot: number, chosen: number, finetuned: number) => ({ zeroshot, chosen, finetuned });

const result: DemoResult = {
  alpha: 0.4,
  id: scores(0.8, 0.9, 0.89),
  shift: scores(0.6, 0.65, 0.5),
  gain: estimate(0.05, 0.01),
  idGain: estimate(0.01, 0.02),
  seeds: 3,
  chosenOn: 0.79,
  crossValidated: 0.78,
  sets: [
    { name: 'id', kind: 'id', accuracy: scores(0.8, 0.9, 0.89), gain: estimate(0.01, 0.02) },
    { name: 'sketch', kind: 'shift', accuracy: scores(0.5, 0.6, 0.55), gain: estimate(0.05, 0.01) },
    { name: 'invert', kind: 'shift', accuracy: scores(0.7, 0.6, 0.3), gain: estimate(-0.1, 0.02) },
  ],
  runs: [],
  seconds: 1,
  warnings: [],
};

describe('what the demo says', () => {
  it('has every set with both ends, the choice, and its gain', () => {
    const lines = describeDemo(result).split('\n');
    expect(lines[0]).toMatch(/zero-shot +chosen +fine-tuned +gain/);
    expect(lines[3]).toMatch(/^invert +70\.00 % +60\.00 % +30\.00 % +-10\.00 +-12\.00 to -8\.00$/);
    expect(lines[4]).toMatch(
      /^mean of the shifts +60\.00 % +65\.00 % +50\.00 % +\+5\.00 +\+4\.00 to \+6\.00$/,
    );
  });

  it('claims no more than the interval does', () => {
    const text = describeDemo(result);
    expect(text).toMatch(/interpolation beats the better end: \+5\.00 points/);
    expect(text).toMatch(/On ID it cannot be told apart from the fine-tuned model: \+1\.00 points/);
    expect(text).toMatch(/does not help everywhere: invert -10\.00 against/);
    expect(text).toMatch(/alpha \(0\.40 on average\) is chosen on the other half\./);
    expect(text).toMatch(
      /There the chosen models score\s79\.00 % .*, or 78\.00 % with alpha chosen on other folds \(cross-validation\)/,
    );
    const worse = describeDemo({ ...result, gain: estimate(-0.02, 0.01), sets: result.sets.slice(0, 2) });
    expect(worse).toMatch(/interpolation loses to the better end: -2\.00 points, -3\.00 to -1\.00/);
    expect(worse).not.toMatch(/everywhere/);
  });

  it('has the barrier of each control', () => {
    const ends = (zeroshot: number, middle: number, finetuned: number) => ({ zeroshot, middle, finetuned });
    const one = { id: ends(0.8, 0.4, 0.9), shift: ends(0.6, 0.25, 0.5), gain: estimate(0, 0.01) };
    const text = describeControl({ permuted: one, independent: one });
    expect(text.match(/ID +80\.00 % +40\.00 % +90\.00 % +\+40\.00/g)).toHaveLength(2);
    expect(text.match(/shifts +60\.00 % +25\.00 % +50\.00 % +\+25\.00/g)).toHaveLength(2);
  });
});
