import type { Command } from 'commander';
import { parseCount } from '../arguments.js';
import { accumulates } from '../repeated-flags.js';
import { parseCommandFlag, parseSetFlag, type SweepFlags } from '../sweep-flags.js';
import type { OutputFlags } from '../terminal.js';

export interface SoupFlags
  extends OutputFlags,
    Pick<
      SweepFlags,
      'set' | 'head' | 'classNames' | 'templates' | 'activation' | 'command' | 'rule' | 'threads' | 'out'
    > {
  readonly models?: readonly string[];
  readonly heads?: readonly string[];
  readonly dtype?: 'float32' | 'float16' | 'bfloat16';
  readonly keep?: boolean;
  readonly resume?: boolean;
  readonly force?: boolean;
}

export function addSoup(command: Command, signal: AbortSignal): Command {
  return command
    .description('make a greedy soup: the mean of those models that do it good')
    .option('--models <paths...>', 'models of one architecture; configuration and tokenizer of the first')
    .option(
      '--set <set>',
      'NAME:ROLE:KIND=FEATURES,LABELS[,GROUPS], or =IMAGES; repeat it for more sets',
      accumulates(parseSetFlag),
    )
    .option(
      '--rule <rule>',
      'what must not get worse: max-mean, max-id, max-shift, max-worst (default: max-mean)',
    )
    .option('--head <tensor>', 'weight of the head (default: the only one that looks like a classifier)')
    .option('--heads <paths...>', 'CLIP: a head for each model (default: in the models)')
    .option('--class-names <file>', "of the classes in the head's order: lines, .json, a column of .csv")
    .option('--templates <file>', 'CLIP: build the classifier from prompts with {} for the name')
    .option(
      '--command <command>',
      "evaluates a model instead, such as 'python eval.py {model}'; split at spaces",
      parseCommandFlag,
    )
    .option('--keep', 'keep the models that were written for the command')
    .option('--dtype <dtype>', 'of the soup: float32, float16, bfloat16 (default: of the models)')
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .requiredOption('--out <directory>', 'where results go, and the soup in its directory model')
    .option('--resume', 'go on where an earlier run stopped')
    .option('--force', 'replace an earlier soup')
    .action(async (file: string | undefined, flags: SoupFlags) =>
      (await import('./soup.js')).runSoup(file, flags, signal),
    );
}
