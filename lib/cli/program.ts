import { Command, Option } from 'commander';
import { parseAlphas } from '../merge/alpha.js';
import { precisions } from '../precision.js';
import { version } from '../version.js';
import { activationOption, parseAmount, parseBytes, parseCount, parseNames, parseSeed } from './arguments.js';
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
import { addSweep } from './commands/sweep-flags.js';
import { printable, style } from './format.js';
import { addMergeFileFlags, type MergeFileFlags } from './merge-file-flags.js';
import { addPairFlags, addRunFlags } from './merge-flags.js';
import { addMergekitNames } from './mergekit-flags.js';
import { accumulates, refuseRepeatedFlags } from './repeated-flags.js';
import { parseRecordedSet } from './sweep-flags.js';
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
  addSweep(withOutputFlags(program.command('sweep [file]')), signal);
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
