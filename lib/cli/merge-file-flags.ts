import { type Command, Option } from 'commander';
import { WisemergeError } from '../errors.js';
import type { PlanFileOptions } from '../merge/many/options.js';
import { parseCount, parseSeed, parseShardSize } from './arguments.js';
import type { MergeFlags } from './merge-flags.js';
import { note } from './terminal.js';

/** The flags of a merge file, for `merge` and `plan`: mergekit's, where they mean something here. */
export interface MergeFileFlags extends MergeFlags {
  readonly randomSeed?: number;
  readonly outShardSize?: number;
  readonly numThreads?: number;
  readonly cuda?: boolean;
  readonly copyTokenizer?: boolean;
  readonly writeModelCard?: boolean;
  readonly compat?: 'mergekit';
  readonly transformersCache?: string;
  readonly verbose?: boolean;
}

/** Flags of mergekit's that change nothing here, and why. Those with a value take any. */
const needless: readonly { readonly flag: string; readonly value?: string; readonly why: string }[] = [
  { flag: 'lazy-unpickle', why: 'tensors are read where they lie, whatever the format' },
  { flag: 'low-cpu-memory', why: 'memory does not grow with the models: --memory bounds it' },
  { flag: 'read-to-gpu', why: 'a device gets its data in chunks as it needs them' },
  { flag: 'multi-gpu', why: 'a merge keeps one device busy at most' },
  { flag: 'gpu-rich', why: 'memory is bounded everywhere; --cuda alone chooses the GPU' },
  { flag: 'async-write', why: 'reading, computing and writing always overlap' },
  { flag: 'write-threads', value: '<n>', why: 'reading, computing and writing always overlap' },
  { flag: 'allow-crimes', why: 'names and shapes of tensors decide what can be merged' },
  { flag: 'clone-tensors', why: 'a repeated layer is written out each time' },
  { flag: 'safe-serialization', why: 'outputs are always safetensors' },
  { flag: 'trust-remote-code', why: 'no code of a model is run' },
  { flag: 'lora-merge-cache', value: '<directory>', why: 'adapters are added while their model is read' },
  { flag: 'lora-merge-dtype', value: '<dtype>', why: 'adapters are added in f32 while their model is read' },
];

export function addMergeFileFlags(command: Command): Command {
  command
    .option('--random-seed <n>', 'of random masks in a merge file (default: 0)', parseSeed)
    .option('--out-shard-size <size>', 'as --shard-size; K, M and B are powers of 1000', parseShardSize)
    .option('--cuda', 'as --device cuda')
    .option('--no-copy-tokenizer', 'leave the tokenizer out, unless the merge file asks for one')
    .option('--no-write-model-card', 'write no README.md')
    .addOption(
      new Option('--compat <program>', 'round where mergekit 0.1.4 does (docs/merge-files.md)').choices([
        'mergekit',
      ]),
    )
    .option(
      '--transformers-cache <directory>',
      "where repositories of the Hugging Face Hub are kept (default: its client's)",
    )
    .option('-v, --verbose', 'say what will be done before doing it');
  const hidden = (flags: string, parse?: (text: string) => unknown): void => {
    const option = new Option(flags).hideHelp();
    command.addOption(parse ? option.argParser(parse) : option);
  };
  hidden('--seed <n>', parseSeed);
  hidden('--num-threads <n>', parseCount);
  for (const flag of ['cuda', 'verbose', 'quiet']) hidden(`--no-${flag}`);
  for (const flag of ['copy-tokenizer', 'write-model-card']) hidden(`--${flag}`);
  for (const { flag, value } of needless) {
    hidden(value === undefined ? `--${flag}` : `--${flag} ${value}`);
    if (value === undefined) hidden(`--no-${flag}`);
  }
  return command;
}

const camel = (flag: string): string => flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

/** Says why flags of mergekit's change nothing. */
export function noteNeedless(flags: MergeFileFlags): void {
  for (const { flag, why } of needless) {
    const given = (flags as Record<string, unknown>)[camel(flag)];
    if (given === undefined) continue;
    note(flags, `--${given === false ? 'no-' : ''}${flag} changes nothing: ${why}`);
  }
}

/** Flags that only one of the two forms has. */
const ofFile = ['randomSeed', 'seed', 'compat', 'transformersCache'];
const ofPair = ['zeroshot', 'finetuned', 'alpha', 'sweep', 'rule', 'out', 'dtype', 'extrapolate'];

const dashed = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function refuse(flags: MergeFileFlags, names: readonly string[], form: string, hint: string): void {
  const given = names.find((name) => (flags as Record<string, unknown>)[name] !== undefined);
  if (given === undefined) return;
  throw new WisemergeError('ERR_USAGE', `--${dashed(given)} does not go with ${form}`, { hint });
}

/** Throws ERR_USAGE for flags that only a merge file has a use for. */
export function checkPairFlags(flags: MergeFileFlags): void {
  refuse(flags, ofFile, 'two models', 'It is for merge files: wisemerge merge CONFIG OUT.');
  for (const name of ['copyTokenizer', 'writeModelCard'] as const) {
    if (flags[name] === false) refuse({ [name]: false }, [name], 'two models', 'It is for merge files.');
  }
}

/**
 * The flags of a merge of two models, those that mergekit calls otherwise under their own names. Throws ERR_USAGE where
 * two names of one contradict each other.
 */
export function pairFlags(flags: MergeFileFlags): MergeFlags {
  const device = chooseDevice(flags);
  const threads = oneOf(flags, 'threads', 'numThreads');
  const shardSize = oneOf(flags, 'shardSize', 'outShardSize');
  return {
    ...flags,
    ...(device !== undefined && { device }),
    ...(threads !== undefined && { threads }),
    ...(shardSize !== undefined && { shardSize }),
  };
}

/** The options that the flags of a merge file stand for. Throws ERR_USAGE where they do not go together. */
export function toMergeFileOptions(
  config: string,
  out: string | undefined,
  flags: MergeFileFlags,
): PlanFileOptions {
  refuse(flags, ofPair, 'a merge file', 'Write wisemerge merge CONFIG OUT; the file says the rest.');
  const { memory, force, compat, transformersCache: cache } = flags;
  const seed = oneOf(flags as MergeFileFlags & { readonly seed?: number }, 'randomSeed', 'seed');
  const { device, threads, shardSize } = pairFlags(flags);
  return {
    config,
    ...(out !== undefined && { out }),
    ...(seed !== undefined && { seed }),
    ...(device !== undefined && { device }),
    ...(threads !== undefined && { threads }),
    ...(memory !== undefined && { memory }),
    ...(shardSize !== undefined && { shardSize }),
    ...(force && { force }),
    ...(flags.copyTokenizer === false && { copyTokenizer: false }),
    ...(flags.writeModelCard === false && { modelCard: false }),
    ...(compat && { compat }),
    ...(cache !== undefined && { cache }),
  };
}

/** The value of a flag with two names. Throws ERR_USAGE where both are given and differ. */
function oneOf<Name extends string>(
  flags: { readonly [Key in Name]?: number },
  name: Name,
  other: Name,
): number | undefined {
  const [first, second] = [flags[name], flags[other]];
  if (first !== undefined && second !== undefined && first !== second) {
    throw new WisemergeError(
      'ERR_USAGE',
      `--${dashed(name)} and --${dashed(other)} contradict each other: ${first} and ${second}`,
      { hint: 'Keep one of them.' },
    );
  }
  return first ?? second;
}

/** `--cuda` is a GPU, unless `--device` says which. */
export function chooseDevice({ cuda, device }: MergeFileFlags): string | undefined {
  if (!cuda) return device;
  if (device === undefined || device === 'auto') return 'cuda';
  if (device.startsWith('cuda')) return device;
  throw new WisemergeError('ERR_USAGE', `--cuda and --device ${device} contradict each other`, {
    hint: 'Keep one of them.',
  });
}
