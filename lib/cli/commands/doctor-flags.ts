import type { Command } from 'commander';
import { addOutputFlags } from '../terminal.js';
import type { DoctorFlags } from './doctor.js';

export function addDoctor(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('doctor'))
    .summary('show what this installation can use')
    .description(
      'Show what this installation can use: SIMD level, GPU (or the reason why none is available), memory and ' +
        'disk speed.',
    )
    .option('--disk <directory>', 'directory on the disk to measure', '.')
    .action(async (flags: DoctorFlags) => (await import('./doctor.js')).runDoctor(flags, signal));
}
