import { describe, expect, it } from 'vitest';
import { meanInterval, studentTwoSided } from '../../lib/statistics/student.js';

describe('Student', () => {
  // Any table of the t distribution.
  it.each([
    [0.05, 1, 12.7062],
    [0.05, 2, 4.30265],
    [0.05, 4, 2.77645],
    [0.05, 10, 2.22814],
    [0.05, 100, 1.98397],
    [0.01, 5, 4.03214],
    [0.1, 30, 1.69726],
  ])(
    'is exceeded with probability %f for %i degrees of freedom from the table value on',
    (tail, freedom, t) => {
      expect(studentTwoSided(tail, freedom)).toBeCloseTo(t, 4);
    },
  );

  it('is Cauchy for one degree of freedom, and nearly normal for many', () => {
    for (const tail of [0.5, 0.2, 0.001])
      expect(studentTwoSided(tail, 1) / Math.tan((Math.PI / 2) * (1 - tail))).toBeCloseTo(1, 9);
    expect(studentTwoSided(0.05, 1e7)).toBeCloseTo(1.959964, 5);
  });

  it('gives the interval of a mean', () => {
    // Sleep gained with drug 2 over drug 1 (Student, 1908): mean 1.58, standard deviation 1.23 of 10.
    const gained = [1.2, 2.4, 1.3, 1.3, 0, 1, 1.8, 0.8, 4.6, 1.4];
    const { mean, lower, upper } = meanInterval(gained);
    expect(mean).toBeCloseTo(1.58, 12);
    expect(lower).toBeCloseTo(0.7001, 4);
    expect(upper).toBeCloseTo(2.4599, 4);
    expect(meanInterval([2, 2, 2])).toEqual({ mean: 2, lower: 2, upper: 2 });
    expect(() => meanInterval([1])).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
  });
});
