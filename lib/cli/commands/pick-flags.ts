import type { Command } from 'commander';
import { accumulates } from '../repeated-flags.js';
import { parseRecordedSet } from '../sweep-flags.js';
import { addOutputFlags } from '../terminal.js';
import type { PickFlags } from './pick.js';

export function addPick(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('pick <sweep>'))
    .description(
      'choose alpha again, by any rule, from a finished sweep or a table of results; evaluates nothing',
    )
    .option('--rule <rule>', "how alpha is chosen (default: the sweep's rule; for a table max-mean)")
    .option(
      '--set <set>',
      'for a table (.jsonl, .csv): NAME:ROLE:KIND of a column; repeat it for more',
      accumulates(parseRecordedSet),
    )
    .action(async (path: string, flags: PickFlags) =>
      (await import('./pick.js')).runPick(path, flags, signal),
    );
}
