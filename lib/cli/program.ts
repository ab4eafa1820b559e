import { Command } from 'commander';
import { version } from '../version.js';
import { parseBytes, parseCount } from './arguments.js';
import type { DemoFlags } from './commands/demo.js';
import type { DiffFlags } from './commands/diff.js';
import type { DoctorFlags } from './commands/doctor.js';
import { addMergeFlags, type MergeFlags } from './merge-flags.js';
import type { OutputFlags } from './terminal.js';

/**
 * The command line. Commands get the signal that Ctrl-C aborts, and are loaded when they run: start-up time
 * is felt in scripts that call `wisemerge` often.
 */
export function createProgram(signal: AbortSignal): Command {
  const program = new Command('wisemerge')
    .description('Weight-space merging of large models: streaming, exact, on the CPU or the GPU.')
    .version(version)
    .showHelpAfterError('(wisemerge --help lists commands and flags)')
    .addHelpText(
      'after',
      '\nData goes to stdout, everything for people to stderr. Exit codes: 0 ok, 2 usage, 3 invalid or\n' +
        'incompatible input, 5 input/output, 6 device, 75 output busy, 130 interrupted, 1 unexpected.',
    );

  addMergeFlags(program.command('merge'))
    .description('interpolate two models: theta0 + alpha * (theta1 - theta0)')
    .action(async (flags: MergeFlags) => (await import('./commands/merge.js')).runMerge(flags, signal));
  addMergeFlags(program.command('plan'))
    .description('show what merge would do, from headers alone')
    .action(async (flags: MergeFlags) => (await import('./commands/plan.js')).runPlan(flags, signal));
  withOutputFlags(program.command('inspect <path>'))
    .description('list the tensors of a model')
    .action(async (path: string, flags: OutputFlags) =>
      (await import('./commands/inspect.js')).runInspect(path, flags, signal),
    );
  withOutputFlags(program.command('diff <first> <second>'))
    .description('measure how far two models are apart, tensor by tensor')
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--memory <size>', 'I/O buffers (default: 80MiB)', parseBytes)
    .action(async (first: string, second: string, flags: DiffFlags) =>
      (await import('./commands/diff.js')).runDiff(first, second, flags, signal),
    );
  withOutputFlags(program.command('verify <directory>'))
    .description('check an output of wisemerge against its manifest')
    .action(async (directory: string, flags: OutputFlags) =>
      (await import('./commands/verify.js')).runVerify(directory, flags, signal),
    );
  withOutputFlags(program.command('doctor'))
    .description('show what this installation can use: SIMD level, GPU, memory, disk speed')
    .option('--disk <directory>', 'directory whose disk to measure', '.')
    .action(async (flags: DoctorFlags) => (await import('./commands/doctor.js')).runDoctor(flags));
  withOutputFlags(program.command('demo'))
    .description('make two small models, merge them at several alphas and compare the results')
    .option('--out <directory>', 'where to put them', 'wisemerge-demo')
    .action(async (flags: DemoFlags) => (await import('./commands/demo.js')).runDemo(flags, signal));
  return program;
}

function withOutputFlags(command: Command): Command {
  return command.option('--json', 'print one JSON object').option('--quiet', 'no progress or remarks');
}
