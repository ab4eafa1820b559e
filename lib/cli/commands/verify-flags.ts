import type { Command } from 'commander';
import { addOutputFlags, type OutputFlags } from '../terminal.js';

export function addVerify(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('verify <directory>'))
    .summary('check an output of wisemerge against its manifest')
    .description(
      'Check an output of wisemerge, or a directory of outputs, against the manifest wisemerge.json: size and ' +
        'checksum of each weight file, structure of the model, presence of the other files. Exits with 3 if ' +
        'something is damaged.',
    )
    .action(async (directory: string, flags: OutputFlags) =>
      (await import('./verify.js')).runVerify(directory, flags, signal),
    );
}
