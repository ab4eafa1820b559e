import { describe, expect, it } from 'vitest';
import {
  effectiveRobustness,
  fitReferenceLine,
  predictShift,
  type ReferenceLine,
} from '../../lib/selection/effective-robustness.js';

const sigmoid = (y: number): number => 1 / (1 + Math.exp(-y));
const onLine = (slope: number, intercept: number, xs: readonly number[]) =>
  xs.map((x) => ({ id: sigmoid(x), shift: sigmoid(slope * x + intercept) }));

function fitted(models: Parameters<typeof fitReferenceLine>[0]): ReferenceLine {
  const line = fitReferenceLine(models);
  if (!line.fitted) throw new Error(line.reason);
  return line;
}

describe('the reference line', () => {
  it('recovers a line on logit axes', () => {
    const line = fitted(onLine(1.2, -0.8, [-1, 0, 0.5, 2]));
    expect(line).toMatchObject({ models: 4, idRange: [sigmoid(-1), sigmoid(2)] });
    expect(line.slope).toBeCloseTo(1.2, 12);
    expect(line.intercept).toBeCloseTo(-0.8, 12);
    expect(line.rSquared).toBeCloseTo(1, 12);
    expect(predictShift(line, 0.5)).toBeCloseTo(sigmoid(-0.8), 12);
  });

  it('is least squares, by hand: logits (0, 0), (1, 2), (2, 1) have R^2 of 1/4', () => {
    const models = [
      { id: sigmoid(0), shift: sigmoid(0) },
      { id: sigmoid(1), shift: sigmoid(2) },
      { id: sigmoid(2), shift: sigmoid(1) },
    ];
    expect(fitReferenceLine(models)).toEqual({ fitted: false, reason: expect.stringContaining('0.250') });
    // Both end points twice.
    const more = [models[0]!, models[0]!, models[1]!, models[2]!, models[2]!];
    // Mean x 1, mean y .8; Sxx 4, Sxy 2, Syy 2.8: slope .5, intercept .3, R^2 4 / (4 * 2.8).
    expect(fitReferenceLine(more)).toEqual({ fitted: false, reason: expect.stringContaining('0.357') });
    const close = [
      { id: sigmoid(0), shift: sigmoid(0) },
      { id: sigmoid(1), shift: sigmoid(1.5) },
      { id: sigmoid(2), shift: sigmoid(1.5) },
    ];
    // Mean y 1; Sxx 2, Sxy 1.5, Syy 1.5: slope .75, intercept .25, R^2 .75.
    const line = fitted(close);
    expect(line.slope).toBeCloseTo(0.75, 12);
    expect(line.intercept).toBeCloseTo(0.25, 12);
    expect(line.rSquared).toBeCloseTo(0.75, 12);
  });

  it('is refused with a reason where it would mean nothing', () => {
    const reason = (models: Parameters<typeof fitReferenceLine>[0]): string => {
      const line = fitReferenceLine(models);
      return line.fitted ? 'fitted' : line.reason;
    };
    const three = onLine(1, -1, [0, 1, 2]);
    expect(reason(three)).toBe('fitted');
    expect(reason(three.slice(0, 2))).toMatch(/2 reference models/);
    expect(reason([...three, { name: 'chance', id: 0.5, shift: 0 }])).toMatch(/chance has accuracy 0/);
    expect(reason([0.1, 0.2, 0.3].map((shift) => ({ id: 0.7, shift })))).toMatch(/same ID accuracy/);
    expect(reason([0.1, 0.2, 0.3].map((id) => ({ id, shift: 0.4 })))).toMatch(/R\^2 is 0\.000/);
    for (const bad of [1.2, -0.1, Number.NaN])
      expect(() => fitReferenceLine([...three, { id: bad, shift: 0.5 }])).toThrow(
        expect.objectContaining({ code: 'ERR_DATA' }),
      );
  });
});

describe('effective robustness', () => {
  const line = fitted(onLine(1, -1, [0, 1, 2]));

  it('is 0 on the line and the height above it elsewhere', () => {
    const id = sigmoid(1.5);
    expect(effectiveRobustness(line, { id, shift: sigmoid(0.5) }).rho).toBeCloseTo(0, 12);
    expect(effectiveRobustness(line, { id, shift: sigmoid(0.5) + 0.07 })).toMatchObject({
      rho: expect.closeTo(0.07, 12),
      predicted: expect.closeTo(sigmoid(0.5), 12),
      extrapolated: false,
    });
    expect(effectiveRobustness(line, { id: sigmoid(3), shift: 0.5 }).extrapolated).toBe(true);
    expect(effectiveRobustness(line, { id: 1, shift: 0.9 })).toMatchObject({
      predicted: 1,
      extrapolated: true,
    });
  });
});
