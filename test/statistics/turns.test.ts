// Long arithmetic in steps: the event loop has its turn, and a signal ends it.
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { analyse } from '../../lib/selection/analysis.js';
import { crossValidate } from '../../lib/selection/cross-validation.js';
import { parseRule } from '../../lib/selection/rule.js';
import { Random } from '../../lib/statistics/random.js';
import { finish, inTurns, type Steps } from '../../lib/statistics/turns.js';
import { nestedBits, outcomeSet } from '../support/outcomes.js';

function* counting(steps: number, took: number[]): Steps<number> {
  for (let i = 0; i < steps; i++) {
    const until = performance.now() + 1;
    while (performance.now() < until);
    took.push(i);
    yield;
  }
  return steps;
}

describe('steps', () => {
  it('give the same in one go and in turns', async () => {
    expect(finish(counting(3, []))).toBe(3);
    expect(await inTurns(counting(3, []))).toBe(3);
  });

  it('in turns leave time to others, who may abort them', async () => {
    const controller = new AbortController();
    const took: number[] = [];
    const work = inTurns(counting(10_000, took), controller.signal);
    setImmediate(() => controller.abort(new Error('enough')));
    await expect(work).rejects.toThrow('enough');
    expect(took.length).toBeGreaterThan(0);
    expect(took.length).toBeLessThan(1000);
  });

  it('of an aborted signal are none', async () => {
    const took: number[] = [];
    await expect(inTurns(counting(3, took), AbortSignal.abort(new Error('no')))).rejects.toThrow('no');
    expect(took).toEqual([]);
  });
});

it('an analysis in turns is the analysis, and takes one per replicate of each of its parts', async () => {
  const set = { name: 'val', role: 'select', kind: 'id', correct: nestedBits([0.5, 0.9, 0.7], 200) } as const;
  const options = { rule: parseRule('max-id'), seed: 1, replicates: 300 };
  const expected = finish(analyse([0, 0.5, 1], [set], options));
  expect(await inTurns(analyse([0, 0.5, 1], [set], options))).toEqual(expected);
  let steps = 0;
  for (const _ of analyse([0, 0.5, 1], [set], options)) steps++;
  // Drawn, chosen on, in the bands of differences, of gaps and of the set, and of the gain.
  expect(steps).toBeGreaterThanOrEqual(6 * 300);
});

it('a cross-validation makes its partitions as it goes, not all of them in its first step', () => {
  const shuffle = vi.spyOn(Random.prototype, 'shuffle');
  onTestFinished(() => shuffle.mockRestore());
  const set = outcomeSet('val', 'id', nestedBits([0.5, 0.9, 0.7], 100));
  const outcomes = { alphas: Float64Array.of(0, 0.5, 1), sets: [set] };
  const steps = crossValidate(outcomes, parseRule('max-id'), { repeats: 50, seed: 1 });
  steps.next();
  const first = shuffle.mock.calls.length;
  finish(steps);
  expect(first).toBeGreaterThan(0);
  expect(shuffle).toHaveBeenCalledTimes(50 * first);
});
