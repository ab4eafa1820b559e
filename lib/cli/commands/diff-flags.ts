import type { Command } from 'commander';
import { parseBytes, parseCount } from '../arguments.js';
import { addOutputFlags } from '../terminal.js';
import type { DiffFlags } from './diff.js';

export function addDiff(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('diff <first> <second>'))
    .summary('measure how two models differ, tensor by tensor')
    .description(
      'Measure how two models differ, tensor by tensor and over all: relative distance, cosine, largest change, ' +
        'share of unchanged elements, number of NaN and infinite elements.',
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--memory <size>', 'most memory for I/O buffers (default: 80MiB)', parseBytes)
    .action(async (first: string, second: string, flags: DiffFlags) =>
      (await import('./diff.js')).runDiff(first, second, flags, signal),
    );
}
