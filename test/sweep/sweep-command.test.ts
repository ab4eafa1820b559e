// The command that a report prints says in flags what the sets of a sweep are.
import { expect, test } from 'vitest';
import { parseSetFlag } from '../../lib/cli/sweep-flags.js';
import { sweepCommand } from '../../lib/sweep/sweep-command.js';
import { resolveSweep, type SweepConfig } from '../../lib/sweep/sweep-options.js';

type Sets = SweepConfig['sets'];

const ends = { zeroshot: 'a', finetuned: 'b' };
const val = { name: 'val', role: 'select', kind: 'id' } as const;
const far = { name: 'far', role: 'report', kind: 'shift' } as const;

test.each<[string, Sets, object]>([
  [
    'features',
    [
      { ...val, features: 'x.npy', labels: 'y.csv' },
      { ...far, features: 'x.npz:test/x', labels: 'y.npy', groups: 'g.npy' },
      { ...far, name: 'other', features: 's.safetensors:val/features', labels: 's.safetensors:val/labels' },
    ],
    {},
  ],
  [
    'images',
    [
      { ...val, images: 'val/' },
      { ...far, images: 'far.csv:file', labels: 'far.npz:y', groups: 'who.csv' },
      { ...far, name: 'other', images: 'far.csv', groups: 'far.csv:who' },
    ],
    {},
  ],
  ['those of a command', [val, { ...far, labels: 'far.csv' }], { command: ['eval', '{model}'] }],
])('%s are read back by --set', (_, sets, more) => {
  const command = sweepCommand(resolveSweep({ ...ends, sets, ...more }));
  expect(command).not.toContain('not among flags');
  const flags = [...command.matchAll(/--set '?([^'\s]+)'? /g)].map(([, text]) => text!);
  expect(flags.reduce((earlier: Sets, text) => [...parseSetFlag(text, earlier)], [])).toEqual(sets);
});
