import { type Command, Option } from 'commander';
import { precisions } from '../../precision.js';
import { maxRepeats, maxReplicates } from '../../statistics/limits.js';
import {
  activationOption,
  countBetween,
  parseAmount,
  parseBytes,
  parseCount,
  parseSeed,
} from '../arguments.js';
import { accumulates } from '../repeated-flags.js';
import {
  parseAlphasFlag,
  parseCommandFlag,
  parseHeadsFlag,
  parseSetFlag,
  type SweepFlags,
} from '../sweep-flags.js';
import { addOutputFlags } from '../terminal.js';

export function addSweep(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('sweep [file]'))
    .description(
      'evaluate the models between a zero-shot and a fine-tuned model, and choose alpha; flags override the sweep file',
    )
    .option('--zeroshot <path>', 'zero-shot model')
    .option('--finetuned <path>', 'model fine-tuned from it')
    .option(
      '--head <tensor>',
      'name of the weight of the head (default: the only one that looks like a classifier)',
    )
    .option(
      '--set <set>',
      'evaluation set: NAME:ROLE:KIND=FEATURES,LABELS[,GROUPS] or NAME:ROLE:KIND=IMAGES, with ROLE select or report and KIND id or shift; repeat it for more sets',
      accumulates(parseSetFlag),
    )
    .option('--class-names <file>', 'class names in the order of the head: lines, .json or .csv:COLUMN')
    .option(
      '--templates <file>',
      'CLIP: build the classifier at every alpha from these prompts, with {} for the class name',
    )
    .option(
      '--heads <files>',
      'CLIP: ZEROSHOT,FINETUNED, two files with heads on its image embeddings',
      parseHeadsFlag,
    )
    .addOption(activationOption())
    .option(
      '--command <command>',
      "program that evaluates a model, such as 'python eval.py {model}'; split at spaces",
      parseCommandFlag,
    )
    .option('--keep', 'keep the models that are written for --command')
    .option('--alphas <values>', 'alphas to evaluate: a list or a range (default: 0:1:0.05)', parseAlphasFlag)
    .addOption(
      new Option(
        '--search <kind>',
        'whole models: how to search around the best of these alphas, or to interpolate (default: grid)',
      ).choices(['grid', 'refine', 'golden', 'chebyshev', 'layers', 'linear']),
    )
    .option(
      '--layer-groups <n>',
      '--search layers, linear: number of groups of blocks (default: one per block)',
      parseCount,
    )
    .option(
      '--tolerance <distance>',
      'distance of alphas at which the search ends (default: 0.01; by layer 0.05)',
      parseAmount,
    )
    .option(
      '--min-gain <share>',
      'end the search when the best alpha leads by less (default: 0)',
      parseAmount,
    )
    .option('--budget <n>', 'largest number of models to evaluate (default: no limit)', parseCount)
    .option('--concurrency <n>', '--command: models to evaluate at once (default: 1)', countBetween(1, 256))
    .option(
      '--rule <rule>',
      'how alpha is chosen: max-mean, max-id, max-shift, max-shift:id-within=0.01, max-worst, knee, fixed:0.5 or one-se (default: max-mean)',
    )
    .option(
      '--references <file>',
      'for effective robustness: accuracies of models trained on ID data alone, .csv or .jsonl',
    )
    .option(
      '--folds <n>',
      'folds of the cross-validation (default: 5, or as many as are possible)',
      countBetween(2, 255),
    )
    .option('--repeats <n>', 'repetitions of the cross-validation (default: 1)', countBetween(1, maxRepeats))
    .option('--replicates <n>', 'bootstrap replicates (default: 1000)', countBetween(1, maxReplicates))
    .option('--seed <n>', 'seed of folds and replicates (default: 0)', parseSeed)
    .option('--no-divergence', 'do not compare the two checkpoints layer by layer')
    .option('--no-metrics', 'head: compute only the exact curve of accuracy, in less time')
    .option(
      '--device <device>',
      'cpu, cuda, cuda:N, or auto: for networks on images and text a GPU if there is one (default: auto)',
    )
    .addOption(
      new Option(
        '--precision <precision>',
        'matrix products on a GPU: exact (the bits of the CPU), fast (tensor cores) or tf32 (cuBLASLt) (default: exact)',
      ).choices(precisions),
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--memory <size>', 'head: memory for features and logits (default: 1GiB)', parseBytes)
    .option('--watch <directory>', 'instead of --finetuned: a sweep for each checkpoint that appears there')
    .option('--until <n>', '--watch: end after this many checkpoints (default: at Ctrl-C)', parseCount)
    .requiredOption('--out <directory>', 'directory for the results')
    .option('--resume', 'continue where an earlier run stopped')
    .option('--force', 'replace an earlier sweep')
    .action(async (file: string | undefined, flags: SweepFlags) =>
      (await import('./sweep.js')).runSweep(file, flags, signal),
    );
}
