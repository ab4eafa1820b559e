import { describe, expect, it } from 'vitest';
import type { AnalysedSet } from '../../lib/selection/analysis.js';
import { describeConnectivity } from '../../lib/selection/chord.js';
import { groupWarnings, hasPart, oneGroup } from '../../lib/selection/group-counts.js';
import { parseRule } from '../../lib/selection/rule.js';
import { analyse, chordTest } from '../support/finished.js';
import { nestedBits, outcomeSet, randomBits } from '../support/outcomes.js';

const alphas = [0, 0.25, 0.5, 0.75, 1];
const accuracy = [0.5, 0.6, 0.65, 0.7, 0.6];

function grouped(name: string, groups: number | undefined, more: Partial<AnalysedSet> = {}): AnalysedSet {
  const names = Array.from({ length: groups ?? 0 }, (_, g) => `g${g}`);
  const ids = Int32Array.from({ length: 600 }, (_, i) => i % (groups ?? 1));
  const correct = randomBits(accuracy, 600, name.length);
  return {
    ...{ name, role: 'select', kind: 'id', correct, ...(groups && { groups: { names, ids } }) },
    ...more,
  } as AnalysedSet;
}

const analysed = (rule: string, sets: readonly AnalysedSet[]) =>
  analyse(alphas, sets, { rule: parseRule(rule), replicates: 100, seed: 0 });

describe('a set of one group', () => {
  const { firmness, sets } = analysed('max-mean', [grouped('val', 1), grouped('far', 30, { kind: 'shift' })]);

  it('has no interval, since nothing tells how groups differ', () => {
    expect(sets[0]!.samples!.band).toBeNull();
    expect(sets[1]!.samples!.band).not.toBeNull();
    const { comparisons, indistinguishable, selection, warnings } = firmness!.verdict;
    expect(comparisons.length).toBeGreaterThan(1);
    for (const comparison of comparisons)
      expect(comparison).toMatchObject({ interval: null, insideNoise: null });
    expect(indistinguishable).toBeNull();
    expect(selection).toMatchObject({ alpha: null, frequencies: null, optimism: null });
    expect(selection.score).toBeGreaterThan(0.5);
    expect(firmness!.chord.minimum.interval).toBeNull();
    expect(firmness!.chord.interiorGain!.interval).toBeNull();
    expect(firmness!.chord.linearConnectivity).toBe('undecided');
    expect(warnings.filter((text) => /one group/.test(text))).toEqual([
      expect.stringMatching(/^Set val has one group, .* several groups, or leave its groups out/),
    ]);
    expect(sets[0]!.samples!.mcnemar.zeroshot.pValue).toBe(1);
  });

  it('takes from the rule’s intervals only where the rule uses it', () => {
    const { verdict, chord } = analysed('max-id', [grouped('val', 30), grouped('far', 1, { kind: 'shift' })])
      .firmness!;
    expect(verdict.indistinguishable).not.toBeNull();
    expect(verdict.selection.alpha).not.toBeNull();
    expect(verdict.warnings).toContainEqual(expect.stringMatching(/^Set far has one group/));
    expect(chord.minimum.interval).toBeNull();
  });

  it('leaves the chord undecided however large a barrier it sees', () => {
    const correct = nestedBits([0.9, 0.1, 0.9], 1000);
    const test = chordTest(Float64Array.of(0, 0.5, 1), [correct], {
      ...{ seed: 1, clusters: [new Uint32Array(1000)] },
    });
    expect(test.minimum).toMatchObject({ value: expect.closeTo(-0.8, 12), interval: null });
    expect(describeConnectivity(test)).toMatch(/^These samples cannot tell/);
  });
});

describe('the sets that have a part in a choice', () => {
  const sets = [
    outcomeSet('id', 'id', nestedBits([0.5], 4)),
    outcomeSet('a', 'shift', nestedBits([0.5], 4)),
    outcomeSet('b', 'shift', nestedBits([0.5], 4)),
    outcomeSet('kept', 'shift', nestedBits([0.5], 4), { role: 'report' }),
  ];

  it.each([
    ['max-id', ['id']],
    ['max-mean', ['id', 'a', 'b']],
    ['max-mean:a=1,b=0', ['a']],
    ['max-shift', ['a', 'b']],
    ['max-shift:id-within=0.01', ['id', 'a', 'b']],
    ['max-worst', ['id', 'a', 'b']],
    ['knee', ['id', 'a', 'b']],
    ['one-se:max-id', ['id']],
    ['fixed:0.5', ['id', 'a', 'b']],
  ])('by %s are %o', (rule, names) => {
    const used = sets.filter((set) => hasPart(parseRule(rule), set, sets));
    expect(used.map(({ name }) => name)).toEqual(names);
  });

  it('by a fixed alpha are the report sets where there are no others', () => {
    expect(hasPart(parseRule('fixed:0.5'), sets[3]!, [sets[3]!])).toBe(true);
  });
});

it('groups of one value are one group, samples without groups are not', () => {
  expect(oneGroup({ groups: [7, 7, 7] })).toBe(true);
  expect(oneGroup({ groups: [7, 7, 8] })).toBe(false);
  expect(oneGroup({})).toBe(false);
  const ids = (count: number) => Int32Array.from({ length: 40 }, (_, i) => i % count);
  expect(groupWarnings([{ name: 'val' }, { name: 'far', groups: ids(10) }])).toEqual([]);
  expect(groupWarnings([{ name: 'val', groups: ids(9) }])).toEqual([
    expect.stringMatching(/^Set val has 9 groups, too few to know well how groups differ/),
  ]);
});
