// The greedy recipe on scores alone.
import { describe, expect, it } from 'vitest';
import { greedySoup } from '../../lib/selection/greedy.js';
import { noise } from '../support/heads.js';

/** Scores of subsets by a table; counts what is asked for. */
function table(scores: Record<string, number>) {
  const asked: string[] = [];
  return {
    asked,
    evaluate: async (members: readonly number[]) => {
      asked.push(members.join(''));
      return scores[members.join('')]!;
    },
  };
}

describe('the greedy recipe', () => {
  it('tries models by their own scores, and keeps those that do not make it worse', async () => {
    const { asked, evaluate } = table({ '12': 0.75, '012': 0.74, '123': 0.76, '1234': 0.7 });
    const found = await greedySoup([0.68, 0.7, 0.69, 0.6, 0.5], evaluate);
    expect(found.order).toEqual([1, 2, 0, 3, 4]);
    expect(asked).toEqual(['12', '012', '123', '1234']);
    expect(found).toMatchObject({ members: [1, 2, 3], score: 0.76 });
    expect(found.steps.map(({ added, accepted }) => [added, accepted])).toEqual([
      [2, true],
      [0, false],
      [3, true],
      [4, false],
    ]);
  });

  it('takes what leaves the score as it is, and of equal models the first named first', async () => {
    const { asked, evaluate } = table({ '01': 0.7, '012': 0.7 - 1e-14 });
    const found = await greedySoup([0.7, 0.7, 0.7], evaluate);
    expect(asked).toEqual(['01', '012']);
    expect(found).toMatchObject({ order: [0, 1, 2], members: [0, 1, 2] });
  });

  it('of one model is that model', async () => {
    const { asked, evaluate } = table({});
    expect(await greedySoup([0.3], evaluate)).toEqual({ order: [0], members: [0], score: 0.3, steps: [] });
    expect(asked).toEqual([]);
  });

  it('is never worse than the best model, whatever the scores', async () => {
    const random = noise(5);
    for (let trial = 0; trial < 50; trial++) {
      const scores = Array.from({ length: 6 }, () => Math.round(10 * Math.abs(random())) / 10);
      const found = await greedySoup(scores, async () => Math.round(10 * Math.abs(random())) / 10);
      expect(found.score).toBeGreaterThanOrEqual(Math.max(...scores) - 1e-11);
    }
  });
});
