// Routers that hardly tell their experts apart, by the condition number of their rows.
import { describe, expect, it } from 'vitest';
import { degenerateGates } from '../../lib/moe/degenerate.js';
import { moeProject } from '../support/moe-project.js';

/** Two vectors of length 1 with that cosine: their condition number is √((1 + c) / (1 − c)). */
const pair = (cosine: number): number[][] => [
  [1, 0, 0],
  [cosine, Math.sqrt(1 - cosine ** 2), 0],
];
/** Of layers' rows, [layer][expert][hidden]. */
const said = (...layers: number[][][]) =>
  degenerateGates(layers[0]!.map((_, e) => layers.map((rows) => Float64Array.from(rows[e]!))));

/** The cosine at which two rows have that condition number. */
const cosineOf = (condition: number) => (condition ** 2 - 1) / (condition ** 2 + 1);

describe('a warning', () => {
  it('is given above a condition number of 5, for the layers that have it', () => {
    expect(said(pair(0), pair(cosineOf(4.99)))).toBeUndefined();
    const found = said(pair(0), pair(cosineOf(5.01)), pair(0.5), pair(0.99), pair(0.999), pair(0.9999));
    expect(found).toMatch(/routers of layers 1, 3-5 hardly tell/);
    // Of the worst layer: √(1.9999 / 0.0001).
    expect(found).toMatch(/condition number 141 in layer 5, where experts 0 and 1 have a cosine of 0\.9999/);
  });

  it('is given for rows that no two of are alike but that depend on each other', () => {
    const dependent = [
      [1, 0, 0],
      [0, 1, 0],
      [Math.SQRT1_2, Math.SQRT1_2, 1e-3],
    ];
    const found = said(dependent);
    expect(found).toMatch(/routers of all layers hardly tell/);
    expect(found).toMatch(/condition number \d+ in layer 0, where experts 0 and 2 have a cosine of 0\.7071/);
    expect(said(dependent.map((row, e) => (e === 2 ? [0, 0, 1] : row)))).toBeUndefined();
  });

  it('is given for equal rows, opposite ones, and more experts than numbers', () => {
    expect(said(pair(1))).toMatch(/infinite condition number/);
    expect(said(pair(-1))).toMatch(/cosine of -1\.0000/);
    expect(said([...pair(0), [0, 0, 1], [0, 0.6, 0.8]])).toMatch(/infinite condition number/);
  });

  it('is not given for one expert', () => {
    expect(said([[1, 0, 0]])).toBeUndefined();
  });

  it.each([
    // numpy.linalg.cond of the same rows, scaled to length 1.
    {
      rows: [
        [1, 2, 3],
        [2, 1, 0],
        [1, 1, 1.2],
      ],
      condition: '46.9',
    },
    {
      rows: [
        [3, 1, 0.5],
        [2.5, 1, 1],
        [0.2, 4, 1],
      ],
      condition: '11.4',
    },
  ])('has the condition number $condition', ({ rows, condition }) => {
    const unit = rows.map((row) => row.map((v) => v / Math.hypot(...row)));
    expect(said(unit)).toContain(`condition number ${condition} in layer 0`);
  });
});

describe('of a mixture', () => {
  it('with nearly the same prompts the result warns', async () => {
    const { run } = await moeProject('hidden', { prompts: { a: ['the roof.'], b: ['a the roof.'] } });
    const { warnings } = await run();
    expect(warnings).toEqual([
      expect.stringMatching(
        /^gate_mode hidden: the routers of .*layers? .*0.* hardly tell their experts apart/,
      ),
    ]);
  });

  it('with other prompts, or at random, nothing is said', async () => {
    expect((await (await moeProject('cheap_embed')).run()).warnings).toEqual([]);
    const { warnings } = await (await moeProject('random')).run();
    expect(warnings.filter((line) => line.includes('routers'))).toEqual([]);
  });
});
