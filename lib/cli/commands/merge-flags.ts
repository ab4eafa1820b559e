import type { Command } from 'commander';
import { addMergeFlags, type MergeFileFlags } from '../merge-file-flags.js';

export function addMerge(program: Command, signal: AbortSignal): void {
  addMergeFlags(program.command('merge [config] [out]'))
    .summary('merge two models by interpolation, or many by a merge file')
    .description(
      'Merge two models by interpolation, theta0 + alpha * (theta1 - theta0), or any number of models by a merge ' +
        "file in mergekit's YAML format.",
    )
    .action(async (config: string | undefined, out: string | undefined, flags: MergeFileFlags) =>
      (await import('./merge.js')).runMerge(config, out, flags, signal),
    );
}
