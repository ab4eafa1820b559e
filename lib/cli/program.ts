import { Command } from 'commander';
import { version } from '../version.js';
import { printable, style } from './format.js';
import { refuseRepeatedFlags } from './repeated-flags.js';

type AddCommand = (program: Command, signal: AbortSignal) => void;

/**
 * In the order of the help. What a command needs is loaded in two steps, its flags when it is named and the rest when it
 * runs: start-up time is felt in scripts that call `wisemerge` often.
 */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  finetune: async () => (await import('./commands/finetune-flags.js')).addFinetune,
  merge: async () => (await import('./commands/merge-flags.js')).addMerge,
  plan: async () => (await import('./commands/plan-flags.js')).addPlan,
  inspect: async () => (await import('./commands/inspect-flags.js')).addInspect,
  diff: async () => (await import('./commands/diff-flags.js')).addDiff,
  sweep: async () => (await import('./commands/sweep-flags.js')).addSweep,
  pick: async () => (await import('./commands/pick-flags.js')).addPick,
  forward: async () => (await import('./commands/forward-flags.js')).addForward,
  head: async () => (await import('./commands/head-flags.js')).addHead,
  'extract-lora': async () => (await import('./commands/extract-lora-flags.js')).addExtractLora,
  moe: async () => (await import('./commands/moe-flags.js')).addMoe,
  soup: async () => (await import('./commands/soup-flags.js')).addSoup,
  verify: async () => (await import('./commands/verify-flags.js')).addVerify,
  doctor: async () => (await import('./commands/doctor-flags.js')).addDoctor,
  demo: async () => (await import('./commands/demo-flags.js')).addDemo,
};

/**
 * The command line, for these arguments: with the command that the first of them names, or with all, of which the help
 * tells and among which a mistyped name is looked for. Commands get the signal that Ctrl-C aborts.
 */
export async function createProgram([first = '']: readonly string[], signal: AbortSignal): Promise<Command> {
  const program = new Command('wisemerge')
    .description('Weight-space merging of large models: streaming, exact, on the CPU or the GPU.')
    .version(version)
    .configureOutput({ outputError: (text, write) => write(usageText(text)) })
    .showHelpAfterError('(wisemerge --help lists commands and flags)')
    .addHelpText(
      'after',
      '\nResults go to stdout, progress, notes and errors to stderr. Exit codes: 0 ok, 2 usage, 3 invalid or\n' +
        'incompatible input, 5 input/output, 6 device, 75 output busy, 130 interrupted, 1 unexpected.',
    );
  const names = Object.hasOwn(commands, first) ? [first] : Object.keys(commands);
  for (const add of await Promise.all(names.map((name) => commands[name]!()))) add(program, signal);
  refuseRepeatedFlags(program);
  return program;
}

/** A message of commander's as other errors are shown: the code behind it, a suggestion on the next line. */
function usageText(text: string): string {
  const [message = '', ...more] = text
    .trimEnd()
    .replace(/^error: /, '')
    .split('\n');
  // What is not known is quoted, whatever it holds.
  return `${[`${style('red', 'error:', process.stderr)} ${printable(message)} (ERR_USAGE)`, ...more.map(printable)].join('\n')}\n`;
}
