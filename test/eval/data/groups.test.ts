import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { naturalOrder, readGroups } from '../../../lib/eval/data/groups.js';
import { write } from './support/files.js';
import { npy } from './support/npy.js';
import { numpyFile } from './support/numpy-files.js';

describe('groups', () => {
  it('are numbered in natural order, numbers by value and text by its numbers', async () => {
    const numbers = await write('g.npy', npy('<i2', [5], Int16Array.of(10, 9, -2, 10, -10)));
    expect(await readGroups(numbers)).toEqual({
      names: ['-10', '-2', '9', '10'],
      ids: Int32Array.of(3, 2, 1, 3, 0),
    });
    const text = await write('g.csv', 'group\ncamera 10\ncamera 9\nunknown\ncamera 10\n');
    expect(await readGroups(text)).toEqual({
      names: ['camera 9', 'camera 10', 'unknown'],
      ids: Int32Array.of(1, 0, 2, 1),
    });
  });

  it('come from the column of groups beside one of labels', async () => {
    expect((await readGroups(await write('a.npz', numpyFile('stored')))).names).toEqual(['9', '10']);
    const path = await write('a.jsonl', '{"label":1,"group":"b"}\n{"label":0,"group":"a"}\n');
    expect(await readGroups(path)).toEqual({ names: ['a', 'b'], ids: Int32Array.of(1, 0) });
    expect((await readGroups(`${path}:label`)).names).toEqual(['0', '1']);
  });

  it('give every row its own name back, whatever the names', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.stringMatching(/^[-a-c0-9]{1,4}$/), { minLength: 1 }), async (names) => {
        const lines = names.map((group) => JSON.stringify({ group }));
        const groups = await readGroups(await write('g.jsonl', lines.join('\n')));
        expect([...groups.ids].map((id) => groups.names[id])).toEqual(names);
        expect(new Set(groups.names).size).toBe(groups.names.length);
      }),
      { numRuns: 30 },
    );
  });

  it('that are missing or fractions are refused by row', async () => {
    const missing = await write('g.csv', 'p,group\na,1\nb,\n');
    await expect(readGroups(missing)).rejects.toMatchObject({
      code: 'ERR_DATA',
      file: missing,
      message: expect.stringContaining('line 3'),
    });
    const fraction = await write('g.npy', npy('<f4', [2], Float32Array.of(1, 0.5)));
    await expect(readGroups(fraction)).rejects.toMatchObject({ message: expect.stringContaining('row 1') });
  });
});

describe('natural order', () => {
  it('puts whole numbers first, and runs of digits in text by value', () => {
    const names = ['v10', 'v9', 'v09', 'v9a', 'v', '12', '-3', '-12', 'a2b10', 'a2b9', 'a10b1', ''];
    expect([...names].sort(naturalOrder)).toEqual([
      '-12',
      '-3',
      '12',
      '',
      'a2b9',
      'a2b10',
      'a10b1',
      'v',
      'v09',
      'v9',
      'v9a',
      'v10',
    ]);
  });

  it('is an order: antisymmetric, transitive, and equal for the same text only', () => {
    const name = fc.stringMatching(/^[-a0-2]{0,4}$/);
    fc.assert(
      fc.property(name, name, name, (a, b, c) => {
        expect(Math.sign(naturalOrder(a, b))).toBe(0 - Math.sign(naturalOrder(b, a)));
        expect(naturalOrder(a, b) === 0).toBe(a === b);
        if (naturalOrder(a, b) < 0 && naturalOrder(b, c) < 0) expect(naturalOrder(a, c)).toBeLessThan(0);
      }),
      { numRuns: 20_000 },
    );
  });
});
