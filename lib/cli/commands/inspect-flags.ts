import type { Command } from 'commander';
import { addOutputFlags, type OutputFlags } from '../terminal.js';

export function addInspect(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('inspect <path>'))
    .summary('list the tensors of a model')
    .description('List the tensors of a model: name, dtype, shape, size and file. Reads only headers.')
    .action(async (path: string, flags: OutputFlags) =>
      (await import('./inspect.js')).runInspect(path, flags, signal),
    );
}
