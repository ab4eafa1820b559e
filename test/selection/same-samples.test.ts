import { describe, expect, it } from 'vitest';
import type { CorrectIntervals } from '../../lib/eval/correct-intervals.js';
import { type Recognised, sameSamples } from '../../lib/selection/same-samples.js';
import { BitMatrix } from '../../lib/statistics/bits.js';
import { nestedBits, randomBits } from '../support/outcomes.js';

const pair = (correct: BitMatrix, more: Partial<Recognised> = {}): Recognised[] => [
  { name: 'val', role: 'select', correct, ...more },
  { name: 'test', role: 'report', correct, ...more },
];
const twins = (sets: readonly Recognised[]) => [...sameSamples(sets)];

describe('sets are taken for the same samples', () => {
  it('where equal results would be a coincidence of less than one in a million', () => {
    // Two kinds of samples, half and half: 2^-n.
    expect(twins(pair(nestedBits([0, 0.5], 18)))).toEqual([]);
    expect(twins(pair(nestedBits([0, 0.5], 20)))).toEqual([['test', 'val']]);
    // Four kinds: 4^-n.
    expect(twins(pair(nestedBits([0.25, 0.5, 0.75], 8)))).toEqual([]);
    expect(twins(pair(nestedBits([0.25, 0.5, 0.75], 12)))).toEqual([['test', 'val']]);
    // One of a thousand differs, in one of a thousand places; and e^3 for its being one.
    expect(twins(pair(nestedBits([0.999, 1], 1000)))).toEqual([]);
    expect(twins(pair(nestedBits([0.99, 1], 1000)))).toEqual([['test', 'val']]);
  });

  it('where the alphas between which their samples are right are equal, however few', () => {
    const intervals = (lo: number): CorrectIntervals => ({
      ...{ lo: Float64Array.of(lo, -Infinity), hi: Float64Array.of(Infinity, Infinity) },
      ...{ open: new Uint8Array(2), domain: [0, 1] },
    });
    const correct = nestedBits([0.5, 1], 2);
    const [val, test] = pair(correct, { intervals: intervals(0.3123) }) as [Recognised, Recognised];
    expect(twins([val, test])).toEqual([['test', 'val']]);
    expect(twins([val, { ...test, intervals: intervals(0.3124) }])).toEqual([]);
  });

  it('not where anything differs, or no alpha changes anything', () => {
    const correct = randomBits([0.4, 0.6], 200, 1);
    const [val, test] = pair(correct) as [Recognised, Recognised];
    expect(twins([val, test])).toEqual([['test', 'val']]);
    const labels = new Int32Array(200);
    expect(twins([{ ...val, labels }, test])).toEqual([]);
    expect(twins([val, { ...test, correct: randomBits([0.4, 0.6], 200, 2) }])).toEqual([]);
    const still = new BitMatrix(2, 200);
    expect(twins(pair(still))).toEqual([]);
  });
});
