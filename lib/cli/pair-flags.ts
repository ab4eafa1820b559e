import { type Command, Option } from 'commander';
import { WisemergeError } from '../errors.js';
import type { MergeOptions } from '../merge/options.js';
import { parseAlphaFlag, parseBytes, parseCount } from './arguments.js';
import { addOutputFlags, type OutputFlags } from './terminal.js';

/** The flags of a merge of two models, for `merge` and `plan`. */
export interface MergeFlags extends OutputFlags {
  readonly zeroshot?: string;
  readonly finetuned?: string;
  readonly alpha?: number | number[] | 'best';
  readonly sweep?: string;
  readonly rule?: string;
  readonly out?: string;
  readonly dtype?: NonNullable<MergeOptions['dtype']>;
  readonly device?: string;
  readonly threads?: number;
  readonly memory?: number;
  readonly shardSize?: number;
  readonly force?: boolean;
  readonly extrapolate?: boolean;
}

export function addPairFlags(command: Command): Command {
  return command
    .optionsGroup('Two models:')
    .option('--zeroshot <path>', 'zero-shot (base) model: a directory, an index or a weight file')
    .option('--finetuned <path>', 'model fine-tuned from it')
    .option(
      '--alpha <values>',
      'one value, a list (0.1,0.3), a range (0:1:0.05), or "best" with --sweep',
      parseAlphaFlag,
    )
    .option('--sweep <directory>', 'with --alpha best: finished sweep to take alpha from')
    .option(
      '--rule <rule>',
      "with --alpha best: choose by this rule, as `pick --rule` does (default: the sweep's choice)",
    )
    .option(
      '--out <directory>',
      'output directory; with several alphas, one per alpha: <directory>/alpha_0.1000, …',
    )
    .addOption(
      new Option(
        '--dtype <dtype>',
        'dtype of float tensors in the output (default: as in the zero-shot model)',
      ).choices(['float64', 'float32', 'float16', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2']),
    )
    .option('--extrapolate', 'allow alpha outside [0, 1]');
}

/** What both forms have: two models, and a merge file. */
export function addRunFlags(command: Command): Command {
  command
    .optionsGroup('Options:')
    .option('--device <device>', 'auto, cpu, cuda or cuda:N (default: auto, which is the CPU)')
    .option('-j, --threads <n>', 'CPU threads (default: all)', parseCount)
    .option(
      '--memory <size>',
      'most memory for buffers, such as 256MiB (default: 80MiB; 100MiB for a merge file)',
      parseBytes,
    )
    .option(
      '--shard-size <size>',
      "bytes of tensors per output file, such as 5GB (default: the base model's files; 5GB if its tensors are not kept)",
      parseBytes,
    )
    .option('--force', 'replace an earlier output of this command');
  return addOutputFlags(command);
}

const required = ['zeroshot', 'finetuned', 'alpha', 'out'] as const;

/**
 * Throws ERR_USAGE where a flag is missing, `best` and `--sweep` do not come together, and what reading a sweep and choosing
 * from it throw. A rule chooses a single alpha, of a sweep by layer too.
 */
export async function toMergeOptions(flags: MergeFlags): Promise<MergeOptions> {
  const missing = required.find((name) => flags[name] === undefined);
  if (missing) {
    const value = { zeroshot: '<path>', finetuned: '<path>', alpha: '<values>', out: '<directory>' }[missing];
    throw new WisemergeError('ERR_USAGE', `required option '--${missing} ${value}' not specified`, {
      hint: 'Two models are merged with --zeroshot, --finetuned, --alpha and --out; a merge file with CONFIG and OUT.',
    });
  }
  const {
    zeroshot,
    finetuned,
    alpha,
    sweep,
    rule,
    out,
    dtype,
    device,
    threads,
    memory,
    shardSize,
    force,
    extrapolate,
  } = flags as MergeFlags & Required<Pick<MergeFlags, (typeof required)[number]>>;
  const options = {
    ...{ zeroshot, finetuned, out },
    ...(dtype && { dtype }),
    ...(device !== undefined && { device }),
    ...(threads !== undefined && { threads }),
    ...(memory !== undefined && { memory }),
    ...(shardSize !== undefined && { shardSize }),
    ...(force && { force }),
    ...(extrapolate && { extrapolate }),
  };
  if (alpha !== 'best' && rule !== undefined) {
    throw new WisemergeError('ERR_USAGE', '--rule goes with --alpha best and --sweep DIRECTORY', {
      hint: 'Leave it out, or let it choose alpha from a sweep.',
    });
  }
  if (alpha !== 'best' && sweep === undefined) return { ...options, alpha };
  if (alpha !== 'best' || sweep === undefined) {
    throw new WisemergeError('ERR_USAGE', '--alpha best and --sweep DIRECTORY belong together', {
      hint: 'Give both, or a number as --alpha.',
    });
  }
  if (rule !== undefined) {
    const { pick } = await import('../sweep/pick.js');
    return { ...options, alpha: (await pick(sweep, { rule })).selection.alpha };
  }
  const { readResult } = await import('../sweep/result.js');
  const { analysis, layers } = await readResult(sweep);
  if (!layers) return { ...options, alpha: analysis.selection.alpha };
  const tensorAlphas = Object.fromEntries(
    layers.groups.flatMap(({ tensors, alpha }) => tensors.map((name) => [name, alpha])),
  );
  return { ...options, alpha: layers.single, tensorAlphas };
}
