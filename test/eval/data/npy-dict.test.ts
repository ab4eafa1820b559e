// The parser of .npy header dictionaries: only Python literals of the format.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NpyDictError, parseNpyDict } from '../../../lib/eval/data/npy-dict.js';

const pythonTuple = (dims: readonly number[]): string =>
  dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(', ')})`;

describe('the header dictionary of .npy', () => {
  it('is read in any order of its keys, with either quotation mark and any spaces', () => {
    const entries = (descr: string, fortran: boolean, shape: readonly number[], quote: string): string[] => [
      `${quote}descr${quote}: ${quote}${descr}${quote}`,
      `${quote}fortran_order${quote}:  ${fortran ? 'True' : 'False'}`,
      `${quote}shape${quote} : ${pythonTuple(shape)}`,
    ];
    fc.assert(
      fc.property(
        fc.constantFrom('<f4', '|u1', '<i8', '>f8'),
        fc.boolean(),
        fc.array(fc.nat({ max: 2 ** 31 }), { maxLength: 5 }),
        fc.constantFrom('"', "'"),
        fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
        fc.boolean(),
        (descr, fortranOrder, shape, quote, order, comma) => {
          const all = entries(descr, fortranOrder, shape, quote);
          const text = `{${order.map((i) => all[i]).join(', ')}${comma ? ', ' : ''}}  \n`;
          expect(parseNpyDict(text)).toEqual({ descr, fortranOrder, shape });
        },
      ),
    );
  });

  it('tells a structured array from the list that describes it', () => {
    const text = "{'descr': [('a', '<i4'), ('b', '<f4')], 'fortran_order': False, 'shape': (1,), }";
    expect(parseNpyDict(text).descr).toBeUndefined();
  });

  const good = { descr: "'<f4'", order: 'False', shape: '(3,)' };
  const dict = ({ descr, order, shape }: typeof good): string =>
    `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}}`;

  it.each([
    ['a call', dict({ ...good, shape: "__import__('os').system('true')" })],
    ['a call as dtype', dict({ ...good, descr: "eval('1')" })],
    ['an expression', dict({ ...good, shape: '(1 + 2,)' })],
    ['a product of strings', dict({ ...good, descr: "'<f4' * 9" })],
    ['a negative size', dict({ ...good, shape: '(-3,)' })],
    ['a fraction', dict({ ...good, shape: '(3.0,)' })],
    ['a size in parentheses, which is no tuple', dict({ ...good, shape: '(3)' })],
    ['a list for the shape', dict({ ...good, shape: '[3]' })],
    ['a size of 30 digits', dict({ ...good, shape: `(${'9'.repeat(30)},)` })],
    ['too many dimensions', dict({ ...good, shape: `(${'1,'.repeat(65)})` })],
    ['a number for a boolean', dict({ ...good, order: '0' })],
    ['an escape in a string', dict({ ...good, descr: "'\\x3cf4'" })],
    ['a string without an end', dict({ ...good, descr: "'<f4" })],
    ['a missing key', "{'descr': '<f4', 'shape': (3,)}"],
    ['a key of no meaning', `{'x': 1, ${dict(good).slice(1)}`],
    ['a key twice', `{'descr': '<f4', ${dict(good).slice(1)}`],
    ['a missing comma', "{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}"],
    ['text behind it', `${dict(good)} or 1`],
    ['no end', dict(good).slice(0, -1)],
    ['nothing', ''],
  ])('with %s is refused', (_, text) => {
    expect(parseNpyDict(dict(good)).shape).toEqual([3]);
    expect(() => parseNpyDict(text)).toThrow(NpyDictError);
  });

  it('of any text is parsed or refused, in no other way', () => {
    const pieces = fc.constantFrom(
      '{',
      '}',
      "'descr'",
      "'shape'",
      ':',
      ',',
      '(',
      ')',
      '3',
      'True',
      '\\',
      "'",
      ' ',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
        try {
          parseNpyDict(parts.join(''));
        } catch (error) {
          expect(error).toBeInstanceOf(NpyDictError);
        }
      }),
    );
  });
});
