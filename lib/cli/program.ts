import { Command, Option } from 'commander';
import { parseAlphas } from '../merge/alpha.js';
import { precisions } from '../precision.js';
import { maxRepeats, maxReplicates } from '../statistics/limits.js';
import { version } from '../version.js';
import { countBetween, parseAmount, parseBytes, parseCount, parseNames, parseSeed } from './arguments.js';
import type { DemoFlags } from './commands/demo.js';
import type { DiffFlags } from './commands/diff.js';
import type { DoctorFlags } from './commands/doctor.js';
import { addExtractLora } from './commands/extract-lora-flags.js';
import type { FinetuneFlags } from './commands/finetune.js';
import type { ForwardFlags } from './commands/forward.js';
import type { HeadFlags } from './commands/head.js';
import { addMoe } from './commands/moe-flags.js';
import type { PickFlags } from './commands/pick.js';
import { addSoup } from './commands/soup-flags.js';
import { printable, style } from './format.js';
import { addMergeFileFlags, type MergeFileFlags } from './merge-file-flags.js';
import { addMergeFlags } from './merge-flags.js';
import { accumulates, refuseRepeatedFlags } from './repeated-flags.js';
import {
  parseAlphasFlag,
  parseCommandFlag,
  parseHeadsFlag,
  parseRecordedSet,
  parseSetFlag,
  type SweepFlags,
} from './sweep-flags.js';
import type { OutputFlags } from './terminal.js';

/**
 * The command line. Commands get the signal that Ctrl-C aborts, and are loaded when they run: start-up time
 * is felt in scripts that call `wisemerge` often.
 */
export function createProgram(signal: AbortSignal): Command {
  const program = new Command('wisemerge')
    .description('Weight-space merging of large models: streaming, exact, on the CPU or the GPU.')
    .version(version)
    .configureOutput({ outputError: (text, write) => write(usageText(text)) })
    .showHelpAfterError('(wisemerge --help lists commands and flags)')
    .addHelpText(
      'after',
      '\nData goes to stdout, everything for people to stderr. Exit codes: 0 ok, 2 usage, 3 invalid or\n' +
        'incompatible input, 5 input/output, 6 device, 75 output busy, 130 interrupted, 1 unexpected.',
    );

  withOutputFlags(program.command('finetune'))
    .description(
      'fine-tune a zero-shot model: ViT or CLIP on images, a linear head or an MLP on cached features',
    )
    .requiredOption('--zeroshot <path>', 'model to start from')
    .option(
      '--features <file>',
      'training set: features [N, D] or pictures [N, C, H, W] in .npy, .npz:ARRAY or .safetensors:TENSOR',
    )
    .option(
      '--images <path>',
      'training set of images: one directory per class, or a table of paths and labels',
    )
    .option('--labels <file>', 'class numbers [N]: in the formats of --features, .csv, .jsonl or .parquet')
    .option('--held-out-features <file>', 'held-out features, evaluated after each epoch')
    .option('--held-out-images <path>', 'held-out images, likewise')
    .option('--held-out-labels <file>', 'labels of the held-out set')
    .option(
      '--class-names <file>',
      'images: class names in the order of the head: lines, .json or .csv:COLUMN',
    )
    .requiredOption('--out <directory>', 'output directory; epoch N is written to <directory>/epoch_000N')
    .option('--head <tensor>', 'name of the weight of the linear head; on features, train it alone')
    .addOption(activationOption())
    .option('--epochs <n>', 'passes over the training set (default: 10)', parseCount)
    .option('--batch-size <n>', 'samples per step (default: 128)', parseCount)
    .option('--lr <rate>', 'largest learning rate (default: 1e-3)', parseAmount)
    .option('--weight-decay <rate>', 'weight decay of AdamW (default: 0.1)', parseAmount)
    .option('--label-smoothing <share>', 'label smoothing, from 0 to below 1 (default: 0)', parseAmount)
    .option('--clip <norm>', 'largest norm of the gradient; 0: no clipping (default: 1)', parseAmount)
    .option(
      '--warmup <steps>',
      'steps of linear warm-up (default: 500, at most a tenth of all steps)',
      parseSeed,
    )
    .option('--seed <n>', 'seed of the order of samples (default: 0)', parseSeed)
    .option('--balanced', 'draw every class equally often')
    .option(
      '--device <device>',
      'cpu, cuda, cuda:N, or auto: for pictures a GPU if there is one (default: auto)',
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--resume', 'continue after the last complete epoch')
    .option('--force', 'replace an earlier output of this command')
    .action(async (flags: FinetuneFlags) =>
      (await import('./commands/finetune.js')).runFinetune(flags, signal),
    );
  addMergeFileFlags(addMergeFlags(program.command('merge [config] [out]')))
    .description(
      'carry out a merge file, as mergekit has them, or interpolate two models: theta0 + alpha * (theta1 - theta0)',
    )
    .action(async (config: string | undefined, out: string | undefined, flags: MergeFileFlags) =>
      (await import('./commands/merge.js')).runMerge(config, out, flags, signal),
    );
  addMergeFileFlags(addMergeFlags(program.command('plan [config] [out]')))
    .description('explain what merge would do with the same arguments, from headers')
    .action(async (config: string | undefined, out: string | undefined, flags: MergeFileFlags) =>
      (await import('./commands/plan.js')).runPlan(config, out, flags, signal),
    );
  withOutputFlags(program.command('inspect <path>'))
    .description('list the tensors of a model')
    .action(async (path: string, flags: OutputFlags) =>
      (await import('./commands/inspect.js')).runInspect(path, flags, signal),
    );
  withOutputFlags(program.command('diff <first> <second>'))
    .description('measure how far two models are apart, tensor by tensor')
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--memory <size>', 'I/O buffers at most (default: 80MiB)', parseBytes)
    .action(async (first: string, second: string, flags: DiffFlags) =>
      (await import('./commands/diff.js')).runDiff(first, second, flags, signal),
    );
  withOutputFlags(program.command('sweep [file]'))
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
      (await import('./commands/sweep.js')).runSweep(file, flags, signal),
    );
  withOutputFlags(program.command('pick <sweep>'))
    .description(
      'choose alpha again, by any rule, from a finished sweep or a table of results; evaluates nothing',
    )
    .option('--rule <rule>', "how alpha is chosen (default: the sweep's rule; for a table max-mean)")
    .option(
      '--set <set>',
      'for a table (.jsonl, .csv): NAME:ROLE:KIND of a column; repeat it for more',
      accumulates(parseRecordedSet),
    )
    .action(async (path: string, flags: PickFlags) =>
      (await import('./commands/pick.js')).runPick(path, flags, signal),
    );
  withOutputFlags(program.command('forward'))
    .description('run a network on given inputs, at any alphas, without writing a merged model')
    .option('--model <path>', 'model to run as it is')
    .option('--zeroshot <path>', 'instead of --model: zero-shot model')
    .option('--finetuned <path>', 'model fine-tuned from it')
    .option(
      '--alpha <values>',
      'with --zeroshot and --finetuned: one value, a list or a range start:end:step',
      (text: string) => parseAlphas(text),
    )
    .option('--extrapolate', 'allow alphas outside [0, 1]')
    .requiredOption(
      '--inputs <file>',
      'safetensors file with pixel_values, input_ids, attention_mask, features, …',
    )
    .requiredOption('--out <file>', 'safetensors file to write, with alpha_0.3.logits, …')
    .option('--force', 'replace an earlier output of this command')
    .option('--outputs <names>', 'names of the outputs to compute, such as loss (default: all)', parseNames)
    .option('--device <device>', 'cpu, cuda, cuda:N, or auto: a GPU if there is one (default: auto)')
    .addOption(
      new Option(
        '--precision <precision>',
        'matrix products: exact (the same bits everywhere), fast (tensor cores) or tf32 (cuBLASLt) (default: exact)',
      ).choices(precisions),
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .action(async (flags: ForwardFlags) => (await import('./commands/forward.js')).runForward(flags, signal));
  withOutputFlags(program.command('head'))
    .description('build a zero-shot classifier from class names with the text tower of a CLIP model')
    .requiredOption('--model <path>', 'CLIP model, with its tokenizer.json')
    .requiredOption('--classes <file>', 'class names in the order of the labels: lines, .json or .csv:COLUMN')
    .addOption(
      new Option('--templates <file>', 'prompts with {} for the class name: lines or .json').conflicts(
        'template',
      ),
    )
    .option('--template <text>', "one prompt (default: 'a photo of a {}.'); repeat it for more", collect)
    .requiredOption(
      '--out <path>',
      'safetensors file to write, with head.weight; with --in-model a directory',
    )
    .option('--in-model', 'write a copy of the model with the head in it, for finetune --images')
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--force', 'replace an earlier output of this command')
    .action(async (flags: HeadFlags) => (await import('./commands/head.js')).runHead(flags, signal));
  addExtractLora(withOutputFlags(program.command('extract-lora')), signal);
  addMoe(withOutputFlags(program.command('moe <config> <out>')), signal);
  addSoup(withOutputFlags(program.command('soup [file]')), signal);
  withOutputFlags(program.command('verify <directory>'))
    .description('check an output of wisemerge against its manifest')
    .action(async (directory: string, flags: OutputFlags) =>
      (await import('./commands/verify.js')).runVerify(directory, flags, signal),
    );
  withOutputFlags(program.command('doctor'))
    .description('show what this installation can use: SIMD level, GPU, memory, disk speed')
    .option('--disk <directory>', 'directory whose disk to measure', '.')
    .action(async (flags: DoctorFlags) => (await import('./commands/doctor.js')).runDoctor(flags, signal));
  withOutputFlags(program.command('demo'))
    .description('show the whole method on drawn pictures: pre-train, fine-tune, sweep, choose alpha, report')
    .option(
      '--out <directory>',
      "directory for the first seed's models and sweep, and the result (default: keep nothing)",
    )
    .option('--seeds <n>', 'runs of the whole method, at least 2 (default: 5)', parseCount)
    .option('--vit', 'use a small ViT instead of an MLP; takes some minutes')
    .option('--control', 'also show what breaks interpolation')
    .option('--force', 'replace an earlier demo')
    .action(async (flags: DemoFlags) => (await import('./commands/demo.js')).runDemo(flags, signal));
  refuseRepeatedFlags(program);
  return program;
}

function activationOption(): Option {
  return new Option(
    '--activation <name>',
    'MLP: activation between layers (default: that of config.json, or gelu)',
  ).choices(['gelu', 'relu']);
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

/** Values of a repeated flag. */
const collect = accumulates((text: string, earlier: readonly string[] = []): readonly string[] => [
  ...earlier,
  text,
]);

function withOutputFlags(command: Command): Command {
  return command
    .option('--json', 'print one JSON object')
    .option('--quiet', 'no progress or remarks, but NaN and infinities');
}
