import { Command } from 'commander';
import { version } from '../version.js';
import { parseBytes, parseCount } from './arguments.js';
import { type DiffFlags, runDiff } from './commands/diff.js';
import { type DoctorFlags, runDoctor } from './commands/doctor.js';
import { type DemoFlags, runDemo } from './commands/demo.js';
import { runInspect } from './commands/inspect.js';
import { runMerge } from './commands/merge.js';
import { runPlan } from './commands/plan.js';
import { runVerify } from './commands/verify.js';
import { addMergeFlags, type MergeFlags } from './merge-flags.js';
import type { OutputFlags } from './terminal.js';

/** The command line. Commands get the signal that Ctrl-C aborts. */
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
    .action((flags: MergeFlags) => runMerge(flags, signal));
  addMergeFlags(program.command('plan'))
    .description('show what merge would do, from headers alone')
    .action((flags: MergeFlags) => runPlan(flags, signal));
  withOutputFlags(program.command('inspect <path>'))
    .description('list the tensors of a model')
    .action((path: string, flags: OutputFlags) => runInspect(path, flags, signal));
  withOutputFlags(program.command('diff <first> <second>'))
    .description('measure how far two models are apart, tensor by tensor')
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--memory <size>', 'I/O buffers (default: 64MiB)', parseBytes)
    .action((first: string, second: string, flags: DiffFlags) => runDiff(first, second, flags, signal));
  withOutputFlags(program.command('verify <directory>'))
    .description('check an output of wisemerge against its manifest')
    .action((directory: string, flags: OutputFlags) => runVerify(directory, flags, signal));
  withOutputFlags(program.command('doctor'))
    .description('show what this installation can use: SIMD level, GPU, memory, disk speed')
    .option('--disk <directory>', 'directory whose disk to measure', '.')
    .action((flags: DoctorFlags) => runDoctor(flags));
  withOutputFlags(program.command('demo'))
    .description('make two small models, merge them at several alphas and compare the results')
    .option('--out <directory>', 'where to put them', 'wisemerge-demo')
    .action((flags: DemoFlags) => runDemo(flags, signal));
  return program;
}

function withOutputFlags(command: Command): Command {
  return command.option('--json', 'print one JSON object').option('--quiet', 'no progress or remarks');
}
