// Scalars as YAML 1.1 has them, values verified against the readers of existing files; positions and duplicates.
import { describe, expect, it, test } from 'vitest';
import { Problems } from '../../../lib/merge/config/problems.js';
import { editDistance, nearest } from '../../../lib/merge/config/suggest.js';
import { parseYaml } from '../../../lib/merge/config/yaml-nodes.js';
import { readScalar, toNumber } from '../../../lib/merge/config/yaml-scalar.js';

const number = (text: string, plain = true) => toNumber(readScalar(text, plain));

describe('numbers of YAML 1.1', () => {
  it.each([
    ['1e-5', 1e-5],
    ['1.0e5', 100_000],
    ['+.5', 0.5],
    ['.5', 0.5],
    ['-1.5', -1.5],
    ['1_000.5', 1000.5],
    ['1_000', 1000],
    ['0x1F', 31],
    ['0b101', 5],
    ['08', 8],
    ['-3', -3],
    ['190:20:30', 685_230],
    ['190:20:30.15', 685_230.15],
    ['-.inf', Number.NEGATIVE_INFINITY],
    ['.inf', Number.POSITIVE_INFINITY],
  ])('%s is %d', (text, value) => expect(number(text)).toBe(value));

  it('octal: 010 is 8', () => {
    expect(readScalar('010', true)).toEqual({ kind: 'number', value: 8, notation: 'octal' });
    expect(number('-017')).toBe(-15);
  });

  it('base 60: 12:30 is 750', () => {
    expect(readScalar('12:30', true)).toEqual({ kind: 'number', value: 750, notation: 'base 60' });
  });

  it('yes, no, on, off, true, false are 1 and 0; y and n are text', () => {
    expect(['yes', 'On', 'TRUE'].map((text) => number(text))).toEqual([1, 1, 1]);
    expect(['no', 'Off', 'false'].map((text) => number(text))).toEqual([0, 0, 0]);
    expect(['y', 'n', 'yEs'].map((text) => number(text))).toEqual([undefined, undefined, undefined]);
  });

  it('quoted text is a decimal number or none', () => {
    expect([number('0.5', false), number('010', false), number(' 1e3 ', false)]).toEqual([0.5, 10, 1000]);
    expect([number('12:30', false), number('yes', false), number('0x10', false)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('null, commas and words are no numbers', () => {
    expect(['~', '', 'null', '1,5', 'abc', '1e', '.', '0o10'].map((text) => number(text))).toEqual(
      Array(8).fill(undefined),
    );
  });
});

describe('tags', () => {
  const values = (text: string) => {
    const problems = new Problems('f.yml');
    const [node] = parseYaml(text, problems);
    const scalars = node?.kind === 'map' ? node.entries.map(({ value }) => value) : [];
    return { scalars, problems: problems.list.map(({ line, message }) => `${line} ${message}`) };
  };

  it('of the core types give scalars these', () => {
    const { scalars, problems } = values(
      'a: !!float 1\nb: !!int "3"\nc: !!bool no\nd: !!str 010\ne: !!null ~\nf: !!float 1e-5\ng: !!str\n',
    );
    expect(problems).toEqual([]);
    expect(scalars.map((node) => node.kind === 'scalar' && node.value)).toEqual([
      { kind: 'number', value: 1 },
      { kind: 'number', value: 3 },
      { kind: 'boolean', value: false },
      { kind: 'text', value: '010' },
      { kind: 'null' },
      { kind: 'number', value: 1e-5 },
      { kind: 'text', value: '' },
    ]);
  });

  it('that a scalar is not of are errors where it stands', () => {
    expect(values('a: !!float x\nb: !!int 1.5\nc: !!bool 1\nd: !!float true').problems).toEqual([
      '1 "x" is no float, as !!float says it is',
      '2 "1.5" is no int, as !!int says it is',
      '3 "1" is no bool, as !!bool says it is',
      '4 "true" is no float, as !!float says it is',
    ]);
  });
});

describe('documents', () => {
  it('duplicate keys are rejected with both places', () => {
    const problems = new Problems('f.yml');
    parseYaml('a: 1\nb: 2\na: 3\n', problems);
    expect(problems.list).toMatchObject([
      { line: 3, column: 1, message: '"a" is given twice; first in line 1' },
    ]);
  });

  it('syntax errors have a place', () => {
    const problems = new Problems('f.yml');
    parseYaml('a: [1, 2\nb: 3\n', problems);
    expect(problems.list[0]).toMatchObject({ code: 'ERR_MERGE_FILE', line: expect.any(Number) });
  });

  it('anchors, aliases and merge keys are followed; what is written out wins', () => {
    const problems = new Problems('f.yml');
    const [node] = parseYaml('x: &p {a: 1, b: 2}\ny: {<<: *p, b: 3}\nz: *p\n', problems);
    const plain = JSON.parse(
      JSON.stringify(node, (key, value) => (key.endsWith('lace') ? undefined : value)),
    );
    const values = (i: number) =>
      plain.entries[i].value.entries.map((entry: { key: string; value: { text: string } }) => [
        entry.key,
        entry.value.text,
      ]);
    expect(problems.list).toEqual([]);
    expect(values(1)).toEqual([
      ['b', '3'],
      ['a', '1'],
    ]);
    expect(values(2)).toEqual([
      ['a', '1'],
      ['b', '2'],
    ]);
  });

  it('an alias without an anchor, and an unknown tag are errors', () => {
    const messages = (text: string) => {
      const problems = new Problems('f.yml');
      parseYaml(text, problems);
      return problems.list.map(({ message }) => message);
    };
    expect(messages('a: *x')[0]).toMatch(/anchor|alias/i);
    expect(messages('a: !!python/object:os.system x')[0]).toMatch(/tag/i);
    expect(messages('a: &a [*a, *a]')).toEqual([expect.stringMatching(/aliases/)]);
  });

  it.each(['[', '- ', '{a: ', '? '])(
    '%j too often is an error with its place, before the stack is',
    (open) => {
      for (const rest of ['', ']'.repeat(10_000), 'x\nb: 1\n']) {
        const problems = new Problems('f.yml');
        expect(parseYaml(`a: 1\n---\n${open.repeat(10_000)}${rest}`, problems)).toEqual([]);
        expect(problems.list).toMatchObject([
          { message: 'the file is nested too deeply', line: 3, column: expect.any(Number) },
        ]);
        expect(problems.list[0]!.column).toBeGreaterThan(500);
      }
    },
  );

  it('an alias means the last anchor before it', () => {
    const [node] = parseYaml('a: &x {p: &y 1}\nb: &y 2\nc: *x\nd: *y\n', new Problems('f.yml'));
    expect(node).toMatchObject({ entries: [{}, {}, {}, { key: 'd', value: { text: '2' } }] });
  });

  it('aliases that grow exponentially end in an error, soon', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 12; i++)
      lines.push(
        `a${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
      );
    const problems = new Problems('f.yml');
    parseYaml(lines.join('\n'), problems);
    expect(problems.list.map(({ message }) => message)).toContainEqual(expect.stringMatching(/aliases/));
  });
});

test('suggestions: typing errors, not other words', () => {
  expect(nearest('dytpe', ['dtype', 'models'])).toBe('dtype');
  expect(nearest('wieght', ['weight', 'density'])).toBe('weight');
  expect(nearest('normalise', ['normalize', 'rescale'])).toBe('normalize');
  expect(nearest('Base-Model', ['base_model'])).toBe('base_model');
  expect(nearest('temperature', ['weight', 't'])).toBeUndefined();
  expect([nearest('x', ['t']), nearest('T', ['t'])]).toEqual([undefined, 't']);
  expect(editDistance('abcd', 'acbd')).toBe(1);
});
