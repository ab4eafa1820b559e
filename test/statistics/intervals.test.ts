import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clopperPearson } from '../../lib/statistics/intervals.js';
import { erfc, incompleteBeta, inverseIncompleteBeta, logGamma } from '../../lib/statistics/special.js';

/** P(X <= k) for X binomial, term by term; in logarithms, because (1 - p)^n underflows. */
function binomialCdf(k: number, n: number, p: number): number {
  let term = n * Math.log(1 - p);
  let sum = 0;
  for (let i = 0; i <= k; i++) {
    sum += Math.exp(term);
    term += Math.log((n - i) / (i + 1)) + Math.log(p) - Math.log(1 - p);
  }
  return sum;
}

describe('special functions', () => {
  it('log Gamma is the logarithm of factorials, and of sqrt(pi) at 1/2', () => {
    let factorial = 1;
    for (let n = 1; n < 100; n++) {
      expect(logGamma(n) - Math.log(factorial)).toBeCloseTo(0, 11);
      factorial *= n;
    }
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.PI) / 2, 13);
  });

  it('the incomplete beta function is a tail of the binomial distribution', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.nat(59),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        (n, k, p) => {
          fc.pre(k < n);
          expect(incompleteBeta(1 - p, n - k, k + 1)).toBeCloseTo(binomialCdf(k, n, p), 11);
        },
      ),
    );
  });

  it('the inverse of the incomplete beta function inverts it', () => {
    for (const [a, b] of [
      [0.5, 0.5],
      [1, 1000],
      [300, 7],
      [40_000, 10_000],
      [500_000, 500_000],
    ] as const)
      for (const p of [0.001, 0.025, 0.5, 0.975])
        expect(incompleteBeta(inverseIncompleteBeta(p, a, b), a, b)).toBeCloseTo(p, 8);
  });

  it('erfc and normal quantiles have their tabulated values', () => {
    expect(erfc(0)).toBe(1);
    expect(erfc(0.5)).toBeCloseTo(0.4795001221869535, 14);
    expect(erfc(1)).toBeCloseTo(0.15729920705028513, 14);
    expect(erfc(2)).toBeCloseTo(0.004677734981047266, 15);
    expect(erfc(3) / 2.209049699858544e-5).toBeCloseTo(1, 12);
    expect(erfc(5) / 1.537459794428035e-12).toBeCloseTo(1, 12);
  });
});

describe('intervals of a proportion', () => {
  // Newcombe, Statistics in Medicine 17 (1998), table I: "exact" method, 95 %.
  it.each([
    [81, 263, [0.2527, 0.3676]],
    [15, 148, [0.0578, 0.1617]],
    [0, 20, [0, 0.1684]],
    [1, 29, [0.0009, 0.1776]],
  ] as const)('of %i in %i are the published ones', (successes, trials, exact) => {
    const rounded = ({ lower, upper }: { lower: number; upper: number }) => [
      Number(lower.toFixed(4)),
      Number(upper.toFixed(4)),
    ];
    expect(rounded(clopperPearson(successes, trials))).toEqual(exact);
  });

  it('have closed forms at no and at all successes', () => {
    for (const n of [1, 10, 500, 1_000_000]) {
      const bound = 0.025 ** (1 / n);
      expect(clopperPearson(0, n)).toEqual({ lower: 0, upper: expect.closeTo(1 - bound, 12) });
      expect(clopperPearson(n, n)).toEqual({ lower: expect.closeTo(bound, 12), upper: 1 });
    }
  });

  it('of Clopper and Pearson leave half the error in each binomial tail', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 200 }), fc.nat(198), (n, k) => {
        fc.pre(k >= 1 && k < n);
        const { lower, upper } = clopperPearson(k, n, 0.9);
        expect(binomialCdf(k, n, upper)).toBeCloseTo(0.05, 9);
        expect(1 - binomialCdf(k - 1, n, lower)).toBeCloseTo(0.05, 9);
      }),
      { numRuns: 50 },
    );
  });

  it('refuse what is no proportion, and confidence in percent', () => {
    for (const [k, n] of [
      [0, 0],
      [5, 4],
      [-1, 4],
      [0.5, 4],
    ] as const)
      expect(() => clopperPearson(k, n)).toThrow(expect.objectContaining({ code: 'ERR_DATA' }));
    expect(() => clopperPearson(1, 4, 95)).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
  });
});
