import { describe, expect, it } from 'vitest';
import { Random } from '../../lib/statistics/random.js';

describe('the generator', () => {
  it('is xoshiro128**: outputs of the authors’ C program from state 1, 2, 3, 4', () => {
    const random = Random.fromState([1, 2, 3, 4]);
    expect(Array.from({ length: 10 }, () => random.next())).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });

  it('repeats itself for a seed, and differs between seeds and streams', () => {
    const first = (seed: number, stream?: number): string => {
      const random = new Random(seed, stream);
      return Array.from({ length: 4 }, () => random.next()).join();
    };
    expect(first(7)).toBe(first(7, 0));
    const all = [0, 1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1].flatMap((seed) =>
      [0, 1, 2 ** 32].map((stream) => first(seed, stream)),
    );
    expect(new Set(all).size).toBe(18);
    for (const seed of [-1, 0.5, 2 ** 53, Number.NaN])
      expect(() => new Random(seed)).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
  });

  it('draws below a bound without bias', () => {
    const random = new Random(3);
    for (const bound of [1, 2, 3, 5, 6, 7, 24]) {
      const counts = new Float64Array(bound);
      const draws = 20_000 * bound;
      for (let i = 0; i < draws; i++) counts[random.below(bound)]!++;
      // Chi-square with bound - 1 degrees of freedom: mean bound - 1, variance 2 (bound - 1); 6 sigma.
      const chiSquare = counts.reduce((sum, count) => sum + (count - 20_000) ** 2 / 20_000, 0);
      expect(Math.abs(chiSquare - (bound - 1))).toBeLessThanOrEqual(6 * Math.sqrt(2 * (bound - 1)) + 1e-9);
    }
    // 3 * 2^30 is where taking a remainder of 32 bits would give the lower third twice its share.
    const bound = 3 * 2 ** 30;
    let low = 0;
    for (let i = 0; i < 30_000; i++) {
      const value = random.below(bound);
      expect(value).toBeLessThan(bound);
      if (value < 2 ** 30) low++;
    }
    expect(Math.abs(low - 10_000)).toBeLessThan(6 * Math.sqrt(30_000 * (2 / 9)));
    expect(Array.from({ length: 50 }, () => random.below(2 ** 32)).some((value) => value >= 2 ** 31)).toBe(
      true,
    );
  });

  it('is uniform on [0, 1)', () => {
    const random = new Random(4);
    const values = Array.from({ length: 100_000 }, () => random.uniform());
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    const mean = values.reduce((a, b) => a + b) / values.length;
    const square = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    expect(mean).toBeCloseTo(1 / 2, 2);
    expect(square).toBeCloseTo(1 / 3, 2);
  });

  it('shuffles into every order equally often', () => {
    const random = new Random(5);
    const counts = new Map<string, number>();
    for (let i = 0; i < 24_000; i++) {
      const order = random.shuffle(Uint32Array.of(0, 1, 2, 3)).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(Math.abs(chiSquare - 23)).toBeLessThan(6 * Math.sqrt(46));
  });
});
