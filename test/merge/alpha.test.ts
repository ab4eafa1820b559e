import { describe, expect, it } from 'vitest';
import { alphaNames, parseAlphas } from '../../lib/merge/alpha.js';

describe('--alpha', () => {
  it('takes a number, a list, a range with both ends, or a mixture', () => {
    expect(parseAlphas('0.5')).toEqual([0.5]);
    expect(parseAlphas('0.1,0.3, 0.5')).toEqual([0.1, 0.3, 0.5]);
    expect(parseAlphas('0:1:0.25')).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(parseAlphas('0:1:0.5,0.3')).toEqual([0, 0.5, 1, 0.3]);
    expect(parseAlphas('0.5,')).toEqual([0.5]);
    expect(parseAlphas('1e-3')).toEqual([0.001]);
  });

  it('has 21 values in 0:1:0.05, each the double nearest to its decimal', () => {
    expect(parseAlphas('0:1:0.05')).toEqual(
      Array.from({ length: 21 }, (_, i) => Number((i / 20).toFixed(2))),
    );
    expect(parseAlphas('0:1:0.001')).toEqual(
      Array.from({ length: 1001 }, (_, i) => Number((i / 1000).toFixed(3))),
    );
  });

  it('stops a range that does not meet its end before it', () => {
    expect(parseAlphas('0:1:0.3')).toEqual([0, 0.3, 0.6, 0.9]);
    expect(parseAlphas('0:0:0.1')).toEqual([0]);
    expect(parseAlphas('1:0:-0.5')).toEqual([1, 0.5, 0]);
  });

  it('drops repeats', () => {
    expect(parseAlphas('0.5,0.5,0:1:0.5')).toEqual([0.5, 0, 1]);
  });

  const garbage = [
    '',
    ',',
    'x',
    '0.5x',
    '0.5,,0.7',
    '0:1',
    '0:1:0.1:2',
    '0:1:0',
    '0:1:-0.1',
    '1:0:0.1',
    'NaN',
    'Infinity',
    '0:1:1e-9',
    '0:Infinity:1',
    '0:1:NaN',
  ];
  it.each(garbage)('refuses %j and says how to write it', (text) => {
    expect(() => parseAlphas(text)).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', hint: expect.stringMatching(/0:1:0.05/) }),
    );
  });
});

describe('directories of alphas', () => {
  it('have four digits, or as many as tell all of them apart', () => {
    expect(alphaNames([0, 0.05, 1])).toEqual(['alpha_0.0000', 'alpha_0.0500', 'alpha_1.0000']);
    expect(alphaNames([0.1, 0.100001])).toEqual(['alpha_0.100000', 'alpha_0.100001']);
    expect(alphaNames([0.1, 0.1 + 2 ** -56])).toHaveLength(2);
    expect(new Set(alphaNames([1, 1 + 2 ** -52])).size).toBe(2);
    expect(new Set(alphaNames([1e-20, 2e-20])).size).toBe(2);
  });
});
