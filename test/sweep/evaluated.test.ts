import { expect, test } from 'vitest';
import { record } from '../../lib/sweep/evaluated.js';

test('a score that is not the share of what is right is refused: alpha would be chosen by another number', () => {
  const set = { name: 'val', role: 'select', kind: 'id', samples: 3, fingerprint: '' } as const;
  const scored = (score: number) =>
    record({ alpha: 0.5 }, 0, [set], [{ correct: Uint32Array.of(0b101), score }]).sets[0]!.metrics.top1;
  expect(() => scored(0.9)).toThrow(
    expect.objectContaining({
      code: 'ERR_EVALUATION',
      message: 'alpha 0.5, set val: the score is 0.9, but 2 of 3 samples are right, 0.666667',
      hint: expect.stringContaining('Give `correct` alone, or the score alone'),
    }),
  );
  // As a program prints it.
  expect([scored(0.6666667), scored(0.66666667)]).toEqual([2 / 3, 2 / 3]);
});
