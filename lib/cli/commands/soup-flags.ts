import type { Command } from 'commander';
import { parseCount } from '../arguments.js';
import { accumulates } from '../repeated-flags.js';
import { parseCommandFlag, parseSetFlag, type SweepFlags } from '../sweep-flags.js';
import { addOutputFlags, type OutputFlags } from '../terminal.js';

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

export function addSoup(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('soup [file]'))
    .description('make a greedy soup: the mean of those fine-tuned models that do not make it worse')
    .option(
      '--models <paths...>',
      'models of one architecture; configuration and tokenizer are taken from the first',
    )
    .option(
      '--set <set>',
      'evaluation set: NAME:ROLE:KIND=FEATURES,LABELS[,GROUPS] or NAME:ROLE:KIND=IMAGES, with ROLE select or report and KIND id or shift; repeat it for more sets',
      accumulates(parseSetFlag),
    )
    .option(
      '--rule <rule>',
      'score that must not get worse: max-mean, max-id, max-shift or max-worst (default: max-mean)',
    )
    .option(
      '--head <tensor>',
      'name of the weight of the head (default: the only one that looks like a classifier)',
    )
    .option('--heads <paths...>', 'CLIP: one file with a head per model (default: heads in the models)')
    .option('--class-names <file>', 'class names in the order of the head: lines, .json or .csv:COLUMN')
    .option('--templates <file>', 'CLIP: build the classifier from these prompts, with {} for the class name')
    .option(
      '--command <command>',
      "program that evaluates a model, such as 'python eval.py {model}'; split at spaces",
      parseCommandFlag,
    )
    .option('--keep', 'keep the models that are written for --command')
    .option(
      '--dtype <dtype>',
      'dtype of the soup: float32, float16 or bfloat16 (default: that of the models)',
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .requiredOption(
      '--out <directory>',
      'directory for the results; the soup is written to <directory>/model',
    )
    .option('--resume', 'continue where an earlier run stopped')
    .option('--force', 'replace an earlier soup')
    .action(async (file: string | undefined, flags: SoupFlags) =>
      (await import('./soup.js')).runSoup(file, flags, signal),
    );
}
