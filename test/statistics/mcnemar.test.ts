import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BitMatrix } from '../../lib/statistics/bits.js';
import { flips, mcnemar, mcnemarGroups, mcnemarRows } from '../../lib/statistics/mcnemar.js';
import { randomBits } from '../support/outcomes.js';

/** 2 P(X <= k) and 2 P(X < k) + P(X = k), or 1 - P(X = k) / 2 where b = c, for n fair coins, from Pascal's triangle in whole numbers. */
function exactPs(b: number, c: number): { two: number; mid: number } {
  const n = BigInt(b + c);
  let choose = 1n;
  let below = 0n;
  const least = BigInt(Math.min(b, c));
  for (let k = 0n; k < least; k++) {
    below += choose;
    choose = (choose * (n - k)) / (k + 1n);
  }
  const share = (count: bigint): number => Number((count * 10n ** 18n) / 2n ** n) / 1e18;
  return {
    two: Math.min(1, share(2n * (below + choose))),
    mid: b === c && b > 0 ? 1 - share(choose) / 2 : share(2n * below + choose),
  };
}

describe('the McNemar test', () => {
  it('has the published p-values: Fagerland, Lydersen and Laake (2013), 1 and 7 discordant pairs', () => {
    const { pValue, midP, method } = mcnemar(1, 7);
    expect(method).toBe('exact');
    expect(pValue.toFixed(3)).toBe('0.070');
    expect(midP.toFixed(3)).toBe('0.039');
  });

  it('is the binomial tail up to 1000 discordant samples', () => {
    fc.assert(
      fc.property(fc.nat(500), fc.nat(500), (b, c) => {
        const { pValue, midP, method } = mcnemar(b, c);
        const { two, mid } = exactPs(b, c);
        expect(method).toBe('exact');
        expect(pValue).toBeCloseTo(two, 10);
        expect(midP).toBeCloseTo(mid, 10);
      }),
    );
    expect(mcnemar(0, 0)).toMatchObject({ pValue: 1, midP: 1 });
    expect(mcnemar(0, 1000).pValue / 2 ** -999).toBeCloseTo(1, 9);
  });

  it('counts the observed table once in mid-p where it is in both tails', () => {
    // 1 - 1/2 * 2/4, and 1 - 1/2 * 20/64.
    expect(mcnemar(1, 1)).toMatchObject({ pValue: 1, midP: expect.closeTo(0.75, 12) });
    expect(mcnemar(3, 3)).toMatchObject({ pValue: 1, midP: expect.closeTo(0.84375, 12) });
    expect(mcnemarGroups(1, 1, [1, -1]).midP).toBeCloseTo(0.75, 12);
    // Of the sums 2, 1, 1 with any signs two of eight choices total 0.
    expect(mcnemarGroups(2, 2, [2, -1, -1])).toMatchObject({ pValue: 1, midP: expect.closeTo(0.875, 12) });
    expect(mcnemarGroups(0, 0, [0, 0])).toMatchObject({ pValue: 1, midP: 1 });
  });

  it('is chi-square with continuity correction above, near the exact tail', () => {
    // (|560 - 480| - 1)^2 / 1040 = 6.001; 6.635 is the 1 % point of one degree of freedom.
    const { pValue, method } = mcnemar(480, 560);
    expect(method).toBe('chi-square');
    expect(pValue).toBeCloseTo(exactPs(480, 560).two, 3);
    expect(mcnemar(50_000 - 407, 50_000 + 407).pValue).toBeCloseTo(0.01, 3);
    expect(mcnemar(600, 600).pValue).toBe(1);
    expect(mcnemar(480, 560).midP).toBeCloseTo(exactPs(480, 560).mid, 9);
  });

  it('refuses what are no counts', () => {
    for (const [b, c] of [
      [-1, 2],
      [0.5, 2],
      [Number.NaN, 2],
    ] as const)
      expect(() => mcnemar(b, c)).toThrow(expect.objectContaining({ code: 'ERR_DATA' }));
  });
});

describe('flips', () => {
  it('are the eight counts of a sample-by-sample loop', () => {
    for (const columns of [1, 31, 32, 100]) {
      const correct = randomBits([0.6, 0.5, 0.7], columns, columns);
      const table = new Array<number>(8).fill(0);
      let [gained, lost, withFinetuned, withZeroshot, one] = [0, 0, 0, 0, 0];
      for (let c = 0; c < columns; c++) {
        const [z, f, m] = [correct.get(0, c), correct.get(1, c), correct.get(2, c)];
        table[(z ? 4 : 0) + (f ? 2 : 0) + (m ? 1 : 0)]!++;
        if (!z && !f && m) gained++;
        if (z && f && !m) lost++;
        if (z !== f) one++;
        if (z !== f && m === f) withFinetuned++;
        if (z !== f && m === z) withZeroshot++;
      }
      expect(flips(correct, 0, 1, 2)).toEqual({
        table,
        samples: columns,
        bothWrongToRight: gained,
        bothRightToWrong: lost,
        zeroshotOverridden: withFinetuned,
        finetunedOverridden: withZeroshot,
        predictionDiversity: one / columns,
      });
    }
  });

  it('agree with the test between the ends, and refuse no samples', () => {
    const correct = randomBits([0.6, 0.5, 0.7], 500, 4);
    const { table } = flips(correct, 0, 1, 2);
    const { onlyFirst, onlySecond } = mcnemarRows(correct, 0, 1);
    expect([onlyFirst, onlySecond]).toEqual([table[4]! + table[5]!, table[2]! + table[3]!]);
    expect(() => flips(new BitMatrix(3, 0), 0, 1, 2)).toThrow(expect.objectContaining({ code: 'ERR_DATA' }));
  });
});
