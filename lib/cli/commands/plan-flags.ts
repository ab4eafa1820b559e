import type { Command } from 'commander';
import { addMergeFlags, type MergeFileFlags } from '../merge-file-flags.js';

export function addPlan(program: Command, signal: AbortSignal): void {
  addMergeFlags(program.command('plan [config] [out]'))
    .summary('show what merge would do with the same arguments')
    .description(
      'Show what merge would do with the same arguments, and the problems that would stop it. Writes nothing; ' +
        'reads headers and configuration files, and for the time estimate of a merge file some weights.',
    )
    .action(async (config: string | undefined, out: string | undefined, flags: MergeFileFlags) =>
      (await import('./plan.js')).runPlan(config, out, flags, signal),
    );
}
