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
import { addPairFlags, addRunFlags } from './merge-flags.js';
import { addMergekitNames } from './mergekit-flags.js';
import { accumulates, refuseRepeatedFlags } from './repeated-flags.js';
import {
  parseAlphasFlag,
  parseCommandFlag,
  parseHeadsFlag,
  parseRecordedSet,
  parseSetFlag,
  type SweepFlags,
} from './sweep-flags.js';
import { jsonText, type OutputFlags, quietText } from './terminal.js';

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
      '\nResults go to stdout, progress, notes and errors to stderr. Exit codes: 0 ok, 2 usage, 3 invalid or\n' +
        'incompatible input, 5 input/output, 6 device, 75 output busy, 130 interrupted, 1 unexpected.',
    );

  withOutputFlags(program.command('finetune'))
    .description(
      'train a ViT or CLIP on images, or a linear head or an MLP on cached features, from a zero-shot model',
    )
    .requiredOption('--zeroshot <path>', 'model to start from')
    .option(
      '--features <file>',
      'to train on, [N, D], or pictures [N, C, H, W]: .npy, .npz:ARRAY or .safetensors:TENSOR',
    )
    .option('--images <path>', 'or images: a directory with one per class, or a table of paths and labels')
    .option('--labels <file>', '[N] class numbers: the same as features, .csv, .jsonl or .parquet')
    .option('--held-out-features <file>', 'to watch after each epoch')
    .option('--held-out-images <path>', 'or images to watch')
    .option('--held-out-labels <file>', 'of the held-out set')
    .option('--class-names <file>', "of images, in the head's order: lines, .json, a column of .csv")
    .requiredOption('--out <directory>', 'output; epoch N goes to <directory>/epoch_000N')
    .option('--head <tensor>', 'weight of the linear head: on features it is trained alone')
    .addOption(activationOption())
    .option('--epochs <n>', 'passes over the samples (default: 10)', parseCount)
    .option('--batch-size <n>', 'samples per step (default: 128)', parseCount)
    .option('--lr <rate>', 'largest learning rate (default: 1e-3)', parseAmount)
    .option('--weight-decay <rate>', 'of AdamW (default: 0.1)', parseAmount)
    .option('--label-smoothing <share>', 'from 0 to below 1 (default: 0)', parseAmount)
    .option('--clip <norm>', 'largest norm of the gradient, 0 for none (default: 1)', parseAmount)
    .option('--warmup <steps>', 'linear warm-up (default: 500, at most a tenth of all steps)', parseSeed)
    .option('--seed <n>', 'of the order of samples (default: 0)', parseSeed)
    .option('--balanced', 'draw every class equally often')
    .option(
      '--device <device>',
      'auto (for pictures a GPU if there is one), cpu, cuda or cuda:N (default: auto)',
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--resume', 'go on behind the last complete epoch')
    .option('--force', 'replace an earlier output of this command')
    .action(async (flags: FinetuneFlags) =>
      (await import('./commands/finetune.js')).runFinetune(flags, signal),
    );
  withMergeFlags(program.command('merge [config] [out]'))
    .summary('merge two models by interpolation, or many by a merge file')
    .description(
      'Merge two models by interpolation, theta0 + alpha * (theta1 - theta0), or any number of models by a merge ' +
        "file in mergekit's YAML format.",
    )
    .action(async (config: string | undefined, out: string | undefined, flags: MergeFileFlags) =>
      (await import('./commands/merge.js')).runMerge(config, out, flags, signal),
    );
  withMergeFlags(program.command('plan [config] [out]'))
    .summary('show what merge would do with the same arguments')
    .description(
      'Show what merge would do with the same arguments, and the problems that would stop it. Writes nothing; ' +
        'reads headers and configuration files, and for the time estimate of a merge file some weights.',
    )
    .action(async (config: string | undefined, out: string | undefined, flags: MergeFileFlags) =>
      (await import('./commands/plan.js')).runPlan(config, out, flags, signal),
    );
  withOutputFlags(program.command('inspect <path>'))
    .summary('list the tensors of a model')
    .description('List the tensors of a model: name, dtype, shape, size and file. Reads only headers.')
    .action(async (path: string, flags: OutputFlags) =>
      (await import('./commands/inspect.js')).runInspect(path, flags, signal),
    );
  withOutputFlags(program.command('diff <first> <second>'))
    .summary('measure how two models differ, tensor by tensor')
    .description(
      'Measure how two models differ, tensor by tensor and over all: relative distance, cosine, largest change, ' +
        'share of unchanged elements, number of NaN and infinite elements.',
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--memory <size>', 'most memory for I/O buffers (default: 80MiB)', parseBytes)
    .action(async (first: string, second: string, flags: DiffFlags) =>
      (await import('./commands/diff.js')).runDiff(first, second, flags, signal),
    );
  withOutputFlags(program.command('sweep [file]'))
    .description('evaluate the models between two, and choose alpha')
    .option('--zeroshot <path>', 'zero-shot model')
    .option('--finetuned <path>', 'model fine-tuned from it')
    .option('--head <tensor>', 'weight of the head (default: the only one that looks like a classifier)')
    .option(
      '--set <set>',
      'NAME:ROLE:KIND=FEATURES,LABELS[,GROUPS], or =IMAGES; repeat it for more sets',
      accumulates(parseSetFlag),
    )
    .option('--class-names <file>', "of the classes in the head's order: lines, .json, a column of .csv")
    .option(
      '--templates <file>',
      'CLIP: build the classifier from prompts with {} for the name, at every alpha',
    )
    .option('--heads <files>', 'ZEROSHOT,FINETUNED: heads on the image embeddings of CLIP', parseHeadsFlag)
    .addOption(activationOption())
    .option(
      '--command <command>',
      "evaluates a model instead, such as 'python eval.py {model}'; split at spaces",
      parseCommandFlag,
    )
    .option('--keep', 'keep the models that were written for the command')
    .option('--alphas <values>', 'list or range to evaluate (default: 0:1:0.05)', parseAlphasFlag)
    .addOption(
      new Option(
        '--search <kind>',
        'go on around the best of these alphas, or interpolate (whole models)',
      ).choices(['grid', 'refine', 'golden', 'chebyshev', 'layers', 'linear']),
    )
    .option('--layer-groups <n>', 'by layer: groups for the blocks (default: each its own)', parseCount)
    .option('--tolerance <distance>', 'of alpha, where the search ends (default: 0.01; 0.05)', parseAmount)
    .option('--min-gain <share>', 'end the search where the best leads by less (default: 0)', parseAmount)
    .option('--budget <n>', 'most models to evaluate (default: any number)', parseCount)
    .option('--concurrency <n>', 'models to evaluate at once (default: 1)', countBetween(1, 256))
    .option('--rule <rule>', 'how to choose: max-mean, max-id, max-worst, max-shift:id-within=0.01, knee, …')
    .option('--references <file>', 'accuracies of models trained on ID data alone, .csv or .jsonl')
    .option(
      '--folds <n>',
      'folds of the cross-validation (default: 5, or as many as can be made)',
      countBetween(2, 255),
    )
    .option('--repeats <n>', 'partitions of the cross-validation (default: 1)', countBetween(1, maxRepeats))
    .option('--replicates <n>', 'bootstrap replicates (default: 1000)', countBetween(1, maxReplicates))
    .option('--seed <n>', 'of folds and resamples (default: 0)', parseSeed)
    .option('--no-divergence', 'do not compare the two checkpoints layer by layer')
    .option('--no-metrics', 'of a head, the exact curve of accuracy alone, in less time')
    .option('--device <device>', 'auto, cpu, cuda or cuda:N (default: auto)')
    .addOption(
      new Option(
        '--precision <precision>',
        'of products on a GPU: exact as on the CPU, fast by tensor cores, or tf32 by cuBLASLt (default: exact)',
      ).choices(precisions),
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--memory <size>', 'for features and logits (default: 1GiB)', parseBytes)
    .option('--watch <directory>', 'a sweep for each checkpoint that appears there, in place of --finetuned')
    .option('--until <n>', 'checkpoints after which watching ends (default: Ctrl-C)', parseCount)
    .requiredOption('--out <directory>', 'where the results go')
    .option('--resume', 'go on where an earlier run stopped')
    .option('--force', 'replace an earlier sweep')
    .action(async (file: string | undefined, flags: SweepFlags) =>
      (await import('./commands/sweep.js')).runSweep(file, flags, signal),
    );
  withOutputFlags(program.command('pick <sweep>'))
    .description('choose alpha anew from a finished sweep, or from a table of results, without evaluating')
    .option('--rule <rule>', "how to choose (default: the sweep's rule, or max-mean)")
    .option(
      '--set <set>',
      'NAME:ROLE:KIND of a table (.jsonl, .csv); repeat it for more',
      accumulates(parseRecordedSet),
    )
    .action(async (path: string, flags: PickFlags) =>
      (await import('./commands/pick.js')).runPick(path, flags, signal),
    );
  withOutputFlags(program.command('forward'))
    .description('run a network on given inputs at any alphas, without writing a merged model')
    .option('--model <path>', 'a model to run as it is')
    .option('--zeroshot <path>', 'or both ends of a path: zero-shot model')
    .option('--finetuned <path>', 'model fine-tuned from it')
    .option('--alpha <values>', 'one value, a list or a range start:end:step', (text: string) =>
      parseAlphas(text),
    )
    .option('--extrapolate', 'allow alphas outside [0, 1]')
    .requiredOption(
      '--inputs <file>',
      'safetensors with pixel_values, input_ids, attention_mask, features, …',
    )
    .requiredOption('--out <file>', 'safetensors to write: alpha_0.3.logits, …')
    .option('--force', 'replace an earlier one')
    .option('--outputs <names>', 'of the results to give, such as loss (default: all)', parseNames)
    .option('--device <device>', 'auto (a GPU if there is one), cpu, cuda or cuda:N (default: auto)')
    .addOption(
      new Option(
        '--precision <precision>',
        "of products: exact, the same bits everywhere, fast by a GPU's tensor cores, or tf32 by cuBLASLt (default: exact)",
      ).choices(precisions),
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .action(async (flags: ForwardFlags) => (await import('./commands/forward.js')).runForward(flags, signal));
  withOutputFlags(program.command('head'))
    .description('build a zero-shot classifier from the text tower of a CLIP model')
    .requiredOption('--model <path>', 'CLIP model, with its tokenizer.json')
    .requiredOption('--classes <file>', 'names of the classes: lines, a list in .json, a column of .csv')
    .addOption(
      new Option('--templates <file>', 'prompts with {} for the name: lines, or a list in .json').conflicts(
        'template',
      ),
    )
    .option('--template <text>', "a prompt (default: 'a photo of a {}.'); repeat it for more", collect)
    .requiredOption('--out <path>', 'safetensors to write: head.weight; with --in-model a directory')
    .option('--in-model', 'write a copy of the model with the head in it, for finetune --images')
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--force', 'replace an earlier output of this command')
    .action(async (flags: HeadFlags) => (await import('./commands/head.js')).runHead(flags, signal));
  addExtractLora(withOutputFlags(program.command('extract-lora')), signal);
  addMoe(withOutputFlags(program.command('moe <config> <out>')), signal);
  addSoup(withOutputFlags(program.command('soup [file]')), signal);
  withOutputFlags(program.command('verify <directory>'))
    .summary('check an output of wisemerge against its manifest')
    .description(
      'Check an output of wisemerge, or a directory of outputs, against the manifest wisemerge.json: size and ' +
        'checksum of each weight file, structure of the model, presence of the other files. Exits with 3 if ' +
        'something is damaged.',
    )
    .action(async (directory: string, flags: OutputFlags) =>
      (await import('./commands/verify.js')).runVerify(directory, flags, signal),
    );
  withOutputFlags(program.command('doctor'))
    .summary('show what this installation can use')
    .description(
      'Show what this installation can use: SIMD level, GPU (or the reason why none is available), memory and ' +
        'disk speed.',
    )
    .option('--disk <directory>', 'directory on the disk to measure', '.')
    .action(async (flags: DoctorFlags) => (await import('./commands/doctor.js')).runDoctor(flags, signal));
  withOutputFlags(program.command('demo'))
    .description('show the whole method on drawn pictures: train, fine-tune, sweep, choose, report')
    .option('--out <directory>', "keep the first seed's models and the result there (default: keep nothing)")
    .option('--seeds <n>', 'runs of the method, from 2 (default: 5)', parseCount)
    .option('--vit', 'with a small ViT in the place of an MLP: some minutes')
    .option('--control', 'show what breaks interpolation, too')
    .option('--force', 'replace an earlier demo')
    .action(async (flags: DemoFlags) => (await import('./commands/demo.js')).runDemo(flags, signal));
  refuseRepeatedFlags(program);
  return program;
}

function activationOption(): Option {
  return new Option(
    '--activation <name>',
    'between layers of an MLP (default: of config.json, or gelu)',
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

/** `merge` and `plan` take the same: flags for two models, or a merge file. */
function withMergeFlags(command: Command): Command {
  addPairFlags(command);
  addMergeFileFlags(command);
  addMergekitNames(addRunFlags(command));
  const name = `wisemerge ${command.name()}`;
  return command
    .usage(
      `[options] --zeroshot <path> --finetuned <path> --alpha <values> --out <directory>\n       ${name} [options] <config> <out>`,
    )
    .addHelpText(
      'after',
      `\nExamples:\n  ${name} --zeroshot models/base --finetuned models/tuned --alpha 0.5 --out models/merged\n` +
        `  ${name} merge.yml models/merged`,
    );
}

function withOutputFlags(command: Command): Command {
  return command.option('--json', jsonText).option('--quiet', quietText);
}
