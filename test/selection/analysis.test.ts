import { describe, expect, it } from 'vitest';
import type { SetRole } from '../../lib/eval/data/evaluation-set.js';
import type { AnalysedSet, AnalysisOptions } from '../../lib/selection/analysis.js';
import { parseRule } from '../../lib/selection/rule.js';
import { analyse } from '../support/finished.js';
import { randomBits } from '../support/outcomes.js';

const alphas = [0, 0.25, 0.5, 0.75, 1];
const accuracy = [0.5, 0.6, 0.65, 0.7, 0.6];

/** Samples in so many groups; without a number no groups. */
function set(
  name: string,
  kind: 'id' | 'shift',
  { role = 'select', samples = 40, groups }: { role?: SetRole; samples?: number; groups?: number } = {},
): AnalysedSet {
  const names = Array.from({ length: groups ?? 0 }, (_, g) => `g${g}`);
  const ids = Int32Array.from({ length: samples }, (_, i) => i % (groups ?? 1));
  const correct = randomBits(accuracy, samples, name.length + samples);
  return { name, role, kind, correct, ...(groups !== undefined && { groups: { names, ids } }) };
}

const analysed = (rule: string, sets: readonly AnalysedSet[], more: Partial<AnalysisOptions> = {}) =>
  analyse(alphas, sets, { rule: parseRule(rule), replicates: 50, seed: 0, ...more });

describe('an analysis', () => {
  it('goes without cross-validation where no set is there to choose on, and says so', () => {
    const { selection, firmness } = analysed('fixed:0.5', [set('kept', 'shift', { role: 'report' })]);
    expect(selection.alpha).toBe(0.5);
    expect(firmness!.crossValidation).toBeNull();
    expect(firmness!.crossValidationNote).toBe('There is no cross-validation: no set has role "select".');
  });

  it.each([
    [{ groups: 4 }, 4, '4 folds instead of 5: set val has 4 groups.'],
    [{ samples: 3 }, 3, '3 folds instead of 5: set val has 3 samples.'],
    [{ groups: 5 }, 5, null],
    [{ groups: 1 }, null, 'There is no cross-validation: set val has 1 group.'],
    [{ samples: 1 }, null, 'There is no cross-validation: set val has 1 sample.'],
  ] as const)('makes as many folds of %o as there can be', (shape, folds, note) => {
    const { firmness } = analysed('max-mean', [set('val', 'id', shape), set('far', 'shift')]);
    expect(firmness!.crossValidation?.folds ?? null).toBe(folds);
    expect(firmness!.crossValidationNote).toBe(note);
  });

  it('keeps what samples tell where a report set has a score alone, and says so', () => {
    const scores = Float64Array.from(accuracy);
    const scalar = { name: 'sketch', kind: 'shift', samples: 0, scores } as const;
    const val = set('val', 'id');
    const alone = analysed('max-mean', [val]);
    expect(alone.firmnessNote).toBeNull();
    const { firmness, firmnessNote, sets } = analysed('max-mean', [{ ...scalar, role: 'report' }, val]);
    expect(firmness).toEqual(alone.firmness);
    expect(sets.map(({ samples }) => samples)).toEqual([null, alone.sets[0]!.samples]);
    expect(firmnessNote).toBe(
      'Intervals and the chord test are without sketch: set sketch has a score alone, no results of single samples.',
    );
    const chosen = analysed('max-mean', [{ ...scalar, role: 'select' }, val]);
    expect(chosen.firmness).toBeNull();
    expect(chosen.sets.map(({ samples }) => samples)).toEqual([null, null]);
    expect(chosen.firmnessNote).toBe(
      'There is no interval, no cross-validation and no chord test: set sketch has a score alone, no results of single samples.',
    );
  });

  it('knows the samples that alpha was chosen on by another name', () => {
    const val = set('val', 'id');
    const twin = { ...val, name: 'twin', role: 'report' } as const;
    const other = set('other', 'id', { role: 'report' });
    const { firmness, sets } = analysed('max-mean', [val, twin, other]);
    expect(sets.map(({ samples }) => samples!.afterSelection)).toEqual([true, true, false]);
    expect(firmness!.verdict.warnings[0]).toMatch(/^Report set twin has the samples of val/);
    const given = analysed('fixed:0.5', [val, twin, other]);
    expect(given.sets.map(({ samples }) => samples!.afterSelection)).toEqual([false, false, false]);
    expect(given.firmness!.verdict.warnings).not.toContainEqual(expect.stringContaining('twin'));
  });

  it('is there even where the folds asked for cannot be made', () => {
    const { selection, firmness } = analysed('max-mean', [set('val', 'id', { groups: 4 })], { folds: 6 });
    expect(selection.ties).toContain(selection.alpha);
    expect(firmness!.crossValidation).toBeNull();
    expect(firmness!.crossValidationNote).toBe(
      'There is no cross-validation in 6 folds: set val has 4 groups.',
    );
  });

  it.each(['max-mean:s1=1', 'max-mean:v=0,s1=1', 'one-se:max-mean:s1=1', 'max-mean:s1=1,s2=0'])(
    'by %s leaves out the shifts that it can do without',
    (rule) => {
      const sets = [set('v', 'id'), set('s1', 'shift'), set('s2', 'shift')];
      const { leaveOneShiftOut, shiftsNotLeftOut } = analysed(rule, sets);
      expect(leaveOneShiftOut!.map((held) => held.set)).toEqual(['s2']);
      expect(shiftsNotLeftOut).toEqual([
        { set: 's1', reason: `rule ${rule} gives no weight to any other set` },
      ]);
    },
  );

  it('leaves every shift out where each has company', () => {
    const sets = [set('v', 'id'), set('s1', 'shift'), set('s2', 'shift')];
    const { leaveOneShiftOut, shiftsNotLeftOut } = analysed('max-mean:s1=1,s2=1', sets);
    expect(leaveOneShiftOut!.map((held) => held.set)).toEqual(['s1', 's2']);
    expect(shiftsNotLeftOut).toEqual([]);
    expect(analysed('max-mean', sets.slice(0, 2))).toMatchObject({
      leaveOneShiftOut: null,
      shiftsNotLeftOut: [],
    });
  });
});
