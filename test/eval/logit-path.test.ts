import { describe, expect, test } from 'vitest';
import { chebyshevPoints, chebyshevWeights } from '../../lib/eval/chebyshev.js';
import { logitsAlong } from '../../lib/eval/logit-path.js';

describe('Chebyshev interpolation', () => {
  test('points are nested, ascend and have both ends', () => {
    const nine = chebyshevPoints(9);
    for (const point of chebyshevPoints(5))
      expect(nine.some((one) => Math.abs(one - point) < 1e-15)).toBe(true);
    expect(nine).toEqual([...nine].sort((a, b) => a - b));
    expect([nine[0], nine.at(-1)]).toEqual([0, 1]);
    for (const count of [5, 9, 17]) expect(chebyshevPoints(count)[(count - 1) / 2]).toBe(0.5);
  });

  test('is exact for polynomials of its degree', () => {
    const polynomial = (x: number) => 3 - 2 * x + 5 * x ** 3 - 7 * x ** 4;
    for (const x of [0, 0.1, 0.37, 0.5, 0.99, 1]) {
      const weights = chebyshevWeights(5, x);
      const value = chebyshevPoints(5).reduce((sum, point, j) => sum + weights[j]! * polynomial(point), 0);
      expect(value).toBeCloseTo(polynomial(x), 12);
    }
  });
});

const alphas = Array.from({ length: 21 }, (_, k) => k / 20);
const [rows, classes] = [30, 4];

/** Counts the models that are run for `curve(row, class, alpha)`. */
function counting(curve: (i: number, c: number, alpha: number) => number) {
  const run: number[] = [];
  const at = (alpha: number) =>
    Float32Array.from({ length: rows * classes }, (_, j) =>
      curve(Math.floor(j / classes), j % classes, alpha),
    );
  const forward = async (wanted: readonly number[]) => {
    run.push(...wanted);
    return wanted.map(at);
  };
  return { run, at, forward };
}

describe('logits along a path', () => {
  test('smooth ones come from seven models, within the error that was found', async () => {
    const { run, at, forward } = counting((i, c, alpha) => Math.sin(1.5 * alpha + c + 0.3 * i) + (c * i) / 9);
    const found = await logitsAlong(forward, alphas, classes);
    expect(run.length).toBe(7);
    expect(found).toMatchObject({ forwards: 7, direct: 0 });
    for (const [k, alpha] of alphas.entries()) {
      const expected = at(alpha);
      for (const [j, value] of found.logits[k]!.entries())
        expect(Math.abs(value - expected[j]!)).toBeLessThan(2e-3);
    }
    // Ends are not interpolated.
    expect(found.logits[0]).toEqual(at(0));
    expect(found.logits[20]).toEqual(at(1));
  });

  test('rougher ones take more, and kinks all of them', async () => {
    const rough = counting((i, c, alpha) => Math.sin(9 * alpha + 2 * c + i) + 0.01 * c);
    await logitsAlong(rough.forward, alphas, classes);
    expect(rough.run.length).toBeGreaterThan(7);
    expect(new Set(rough.run).size).toBe(rough.run.length);
    const kinked = counting(
      (i, c, alpha) => (c === i % classes ? 1 : 0) * Math.sign(Math.sin(40 * alpha + i)),
    );
    const found = await logitsAlong(kinked.forward, alphas, classes);
    expect(found.direct).toBe(1);
    for (const [k, alpha] of alphas.entries()) expect(found.logits[k]).toEqual(kinked.at(alpha));
  });

  test.each([8, 9, 11, 12, 16, 21, 41])(
    'of %i alphas kinks cost no more than the points of one level beside them',
    async (count) => {
      const grid = Array.from({ length: count }, (_, k) => k / (count - 1));
      const { run, forward } = counting(
        (i, c, alpha) => (c === i % classes ? 1 : 0) * Math.sign(Math.sin(40 * alpha + i)),
      );
      await logitsAlong(forward, grid, classes);
      const extra = run.filter((alpha) => !grid.includes(alpha)).length;
      const shared = grid.filter((alpha) => [0, 0.5, 1].includes(alpha)).length;
      // What is tried at all is fewer models than alphas, so that the most is less than twice their number.
      expect(run.length).toBe(count + extra);
      expect(extra).toBeLessThan(count - shared);
    },
  );

  test('samples near a tie are in doubt', async () => {
    const { forward } = counting(
      (i, c, alpha) => Math.exp(alpha) * (c === 0 ? 1 : i < 3 && c === 1 ? 1 + 1e-7 : 0.2),
    );
    const { inDoubt } = await logitsAlong(forward, alphas, classes);
    expect(inDoubt).toBeGreaterThan(0);
    expect(inDoubt).toBeLessThanOrEqual(3 / rows);
  });

  test('alphas outside the path, and few of them, are evaluated', async () => {
    const { run, at, forward } = counting((i, c, alpha) => c * alpha + i);
    const found = await logitsAlong(forward, [-0.2, 0.3, 1.4], classes);
    expect(run.sort()).toEqual([-0.2, 0.3, 1.4]);
    expect(found.logits).toEqual([-0.2, 0.3, 1.4].map(at));
  });
});
