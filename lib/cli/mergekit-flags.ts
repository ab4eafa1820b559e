import { type Command, Option } from 'commander';
import { WisemergeError } from '../errors.js';
import { parseCount, parseShardSize } from './arguments.js';
import { note, type OutputFlags } from './terminal.js';

/** Flags that mergekit's commands share, for `merge`, `plan` and `moe`, and our own names for them. */
export interface MergekitFlags extends OutputFlags {
  readonly seed?: number;
  readonly randomSeed?: number;
  readonly shardSize?: number;
  readonly outShardSize?: number;
  readonly threads?: number;
  readonly numThreads?: number;
  readonly device?: string;
  readonly cuda?: boolean;
  readonly copyTokenizer?: boolean;
  readonly writeModelCard?: boolean;
  readonly transformersCache?: string;
  readonly verbose?: boolean;
}

/** A flag of mergekit's that changes nothing here, and why. One with a value takes any. */
export interface NeedlessFlag {
  readonly flag: string;
  readonly value?: string;
  readonly why: string;
}

const needless: readonly NeedlessFlag[] = [
  { flag: 'lazy-unpickle', why: 'tensors are read where they lie, whatever the format' },
  { flag: 'low-cpu-memory', why: 'memory does not grow with the models: --memory bounds it' },
  { flag: 'read-to-gpu', why: 'a device gets its data in chunks as it needs them' },
  { flag: 'multi-gpu', why: 'a merge keeps one device busy at most' },
  { flag: 'gpu-rich', why: 'memory is bounded everywhere; --cuda alone chooses the GPU' },
  { flag: 'async-write', why: 'reading, computing and writing always overlap' },
  { flag: 'write-threads', value: '<n>', why: 'reading, computing and writing always overlap' },
  { flag: 'allow-crimes', why: 'names, shapes and numbers of heads decide what can be merged' },
  { flag: 'clone-tensors', why: 'a repeated layer is written out each time' },
  { flag: 'safe-serialization', why: 'outputs are always safetensors' },
  { flag: 'trust-remote-code', why: 'no code of a model is run' },
  { flag: 'lora-merge-cache', value: '<directory>', why: 'adapters are added while their model is read' },
  { flag: 'lora-merge-dtype', value: '<dtype>', why: 'adapters are added in f32 while their model is read' },
];

/** Adds a flag that the help does not list. */
export function addHidden(command: Command, flags: string, parse?: (text: string) => unknown): void {
  const option = new Option(flags).hideHelp();
  command.addOption(parse ? option.argParser(parse) : option);
}

/** Adds those that do not depend on the command; `more`: what else of mergekit's changes nothing for it. */
export function addMergekitFlags(command: Command, more: readonly NeedlessFlag[] = []): Command {
  command
    .option('--no-write-model-card', 'do not write a model card (README.md)')
    .option(
      '--transformers-cache <directory>',
      'Hugging Face cache in which models that are not paths are found (default: its usual place)',
    );
  for (const flag of ['copy-tokenizer', 'write-model-card']) addHidden(command, `--${flag}`);
  for (const { flag, value } of [...needless, ...more]) {
    addHidden(command, value === undefined ? `--${flag}` : `--${flag} ${value}`);
    if (value === undefined) addHidden(command, `--no-${flag}`);
  }
  return command;
}

/**
 * Adds those that every form of a command has, and mergekit's names of flags that have another one here. After `--quiet`: a
 * negated flag that comes before its positive one would be its default.
 */
export function addMergekitNames(command: Command): Command {
  command
    .option('-v, --verbose', 'print the plan before carrying it out')
    .option('--out-shard-size <size>', 'same as --shard-size; K, M and B are powers of 1000', parseShardSize)
    .option('--cuda', 'same as --device cuda');
  for (const flag of ['cuda', 'quiet', 'verbose']) addHidden(command, `--no-${flag}`);
  addHidden(command, '--num-threads <n>', parseCount);
  return command;
}

const camel = (flag: string): string => flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
export const dashed = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Says why flags of mergekit's change nothing; `more` as for `addMergekitFlags`. */
export function noteNeedless(flags: MergekitFlags, more: readonly NeedlessFlag[] = []): void {
  for (const { flag, why } of [...needless, ...more]) {
    const given = (flags as Record<string, unknown>)[camel(flag)];
    if (given === undefined) continue;
    note(flags, `--${given === false ? 'no-' : ''}${flag} changes nothing: ${why}`);
  }
}

/** What goes by two names and can be told without looking at the command. */
export interface SharedOptions {
  readonly seed?: number;
  readonly device?: string;
  readonly threads?: number;
  readonly shardSize?: number;
}

/** Of two names for one option its value. Throws ERR_USAGE where both are given and contradict each other. */
export function sharedOptions(flags: MergekitFlags): SharedOptions {
  const seed = oneOf(flags, 'randomSeed', 'seed');
  const device = chooseDevice(flags);
  const threads = oneOf(flags, 'threads', 'numThreads');
  const shardSize = oneOf(flags, 'shardSize', 'outShardSize');
  return {
    ...(seed !== undefined && { seed }),
    ...(device !== undefined && { device }),
    ...(threads !== undefined && { threads }),
    ...(shardSize !== undefined && { shardSize }),
  };
}

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
function chooseDevice({ cuda, device }: MergekitFlags): string | undefined {
  if (!cuda) return device;
  if (device === undefined || device === 'auto') return 'cuda';
  if (device.startsWith('cuda')) return device;
  throw new WisemergeError('ERR_USAGE', `--cuda and --device ${device} contradict each other`, {
    hint: 'Keep one of them.',
  });
}
