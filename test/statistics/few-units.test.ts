import { describe, expect, it } from 'vitest';
import { halfWidth, quantilesOf, uncertaintyOf } from '../../lib/statistics/few-units.js';
import { clopperPearson } from '../../lib/statistics/intervals.js';

const within = { value: 0.2, least: -1, most: 1 };

describe('the uncertainty of a sum', () => {
  it('is Student’s for one addend, and for several between those of the fewest units and of many', () => {
    const one = [{ ...within, variance: 0.3, units: 7 }];
    expect(uncertaintyOf(one, 0.95)).toEqual({ variances: [0.3], above: 0, below: 0 });
    expect(quantilesOf(one, 0.05)).toEqual([expect.closeTo(2.44691, 5)]);
    expect(halfWidth([0.3], quantilesOf(one, 0.05))).toBeCloseTo(2.44691 * Math.sqrt(0.3), 5);
    // Table values for 2 and for 1000 degrees of freedom.
    const mixed = quantilesOf([{ units: 3 }, { units: 1001 }], 0.05);
    expect(halfWidth([0.1, 0.9], mixed)).toBeCloseTo(Math.sqrt(0.1 * 4.30265 ** 2 + 0.9 * 1.96234 ** 2), 4);
    expect(halfWidth([0, 0], quantilesOf([{ units: 1 }, { units: 1 }], 0.05))).toBe(0);
  });

  it('counts units that all agree as unlike up to a share of the population', () => {
    const unseen = clopperPearson(0, 12).upper;
    const agreeing = { ...within, variance: 1e-33, units: 12 };
    const found = uncertaintyOf([agreeing, { ...within, variance: 0.1, units: 5 }], 0.95);
    expect(found.variances).toEqual([0, 0.1]);
    expect(found.above).toBeCloseTo(unseen * 1.2, 12);
    expect(found.below).toBeCloseTo(unseen * 0.8, 12);
    // What cannot vary is known.
    const sure = { value: 0, least: 0, most: 0, variance: 0, units: 1 };
    expect(uncertaintyOf([sure], 0.95)).toEqual({ variances: [0], above: 0, below: 0 });
  });
});
