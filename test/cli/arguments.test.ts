import { describe, expect, it } from 'vitest';
import { countBetween, parseAlphaFlag, parseBytes, parseCount } from '../../lib/cli/arguments.js';

describe('sizes', () => {
  it.each([
    ['1000000', 1e6],
    ['5GB', 5e9],
    ['5 gb', 5e9],
    ['1GiB', 2 ** 30],
    ['512MiB', 2 ** 29],
    ['1.5kB', 1500],
    ['0.5KiB', 512],
    ['2TB', 2e12],
    ['1TiB', 2 ** 40],
    ['7B', 7],
    ['0', 0],
  ])('%s are %d bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each(['', 'GB', '-1', '1e9', '1G', '5XB', '1,5GB', '0x10', '1 2', 'NaN'])('%j is none', (text) => {
    expect(() => parseBytes(text)).toThrow(/5GB, 512MiB/);
  });

  it('end where whole numbers do', () => {
    expect(parseBytes('8191TiB')).toBe(8191 * 2 ** 40);
    for (const text of ['8192TiB', '999999TB']) expect(() => parseBytes(text)).toThrow(/below 8192TiB/);
  });
});

describe('counts', () => {
  it('have the limits that are named', () => {
    const parse = countBetween(2, 255);
    expect([parse('2'), parse('255')]).toEqual([2, 255]);
    for (const text of ['1', '256', '2.5', ''])
      expect(() => parse(text)).toThrow('a whole number from 2 to 255');
    expect(() => parseCount('1e20')).toThrow('a whole number from 1 to 9007199254740991');
  });

  it('are whole numbers from 1', () => {
    expect(parseCount('8')).toBe(8);
    for (const text of ['0', '-1', '1.5', 'x', '']) expect(() => parseCount(text)).toThrow(/whole number/);
  });
});

describe('--alpha', () => {
  it('tells one model from a set of one', () => {
    expect(parseAlphaFlag('0.5')).toBe(0.5);
    expect(parseAlphaFlag('0.5,')).toEqual([0.5]);
    expect(parseAlphaFlag('0.5,0.5')).toEqual([0.5]);
    expect(parseAlphaFlag('0:1:0.5')).toEqual([0, 0.5, 1]);
  });
});
