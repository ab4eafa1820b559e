import { type Command, Option } from 'commander';
import { WisemergeError } from '../errors.js';
import type { PlanFileOptions } from '../merge/many/options.js';
import { parseSeed } from './arguments.js';
import {
  addHidden,
  addMergekitFlags,
  addMergekitNames,
  dashed,
  type MergekitFlags,
  type NeedlessFlag,
  noteNeedless,
  sharedOptions,
} from './mergekit-flags.js';
import { addPairFlags, addRunFlags, type MergeFlags } from './pair-flags.js';

/** The flags of a merge file, for `merge` and `plan`: mergekit's, where they mean something here. */
export interface MergeFileFlags extends MergeFlags, MergekitFlags {
  readonly compat?: 'mergekit';
  readonly intermediateDir?: string;
  readonly outPath?: string;
}

/** Of mergekit-multi. */
const needless: readonly NeedlessFlag[] = [
  { flag: 'lazy', why: 'all documents are merged in one run, and their outputs appear together' },
];

function addFileFlags(command: Command): Command {
  command
    .optionsGroup('Merge file:')
    .option('--random-seed <n>', 'seed of the random masks of DARE and DELLA (default: 0)', parseSeed)
    .option(
      '--no-copy-tokenizer',
      'do not copy the tokenizer of the base model; one that the merge file asks for is written all the same',
    )
    .addOption(
      new Option(
        '--compat <program>',
        'round where mergekit 0.1.4 does: linear, task_arithmetic, passthrough',
      ).choices(['mergekit']),
    );
  addHidden(command, '--seed <n>', parseSeed);
  addHidden(command, '-I, --intermediate-dir <directory>');
  addHidden(command, '--out-path <directory>');
  return addMergekitFlags(command, needless);
}

/** `merge` and `plan` take the same: flags for two models, or a merge file. */
export function addMergeFlags(command: Command): Command {
  addPairFlags(command);
  addFileFlags(command);
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

/** Says why flags of mergekit's change nothing. */
export function noteNeedlessOfMerge(flags: MergeFileFlags): void {
  noteNeedless(flags, needless);
}

/** Flags that only one of the two forms has. */
const ofFile = ['randomSeed', 'seed', 'compat', 'transformersCache', 'intermediateDir', 'outPath'];
const ofPair = ['zeroshot', 'finetuned', 'alpha', 'sweep', 'rule', 'out', 'dtype', 'extrapolate'];

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
  return { ...flags, ...sharedOptions(flags) };
}

/** mergekit-multi has a directory for documents with a name and one for the last: here they appear together, in one. */
function refuseDirectories({ intermediateDir, outPath }: MergeFileFlags, command: string): void {
  if (intermediateDir === undefined && outPath === undefined) return;
  const flag = intermediateDir === undefined ? 'out-path' : 'intermediate-dir';
  throw new WisemergeError('ERR_USAGE', `--${flag} is not needed here: one directory takes all documents`, {
    hint: `Write ${command} OUT: documents go to OUT/NAME, one without a name to OUT/final, a single one to OUT.`,
  });
}

/**
 * The options that the flags of a merge file stand for; `command`: as it was called. Throws ERR_USAGE where they do not go
 * together.
 */
export function toMergeFileOptions(
  command: 'merge' | 'plan',
  config: string,
  out: string | undefined,
  flags: MergeFileFlags,
): PlanFileOptions {
  refuse(flags, ofPair, 'a merge file', 'Write wisemerge merge CONFIG OUT; the file says the rest.');
  refuseDirectories(flags, `wisemerge ${command} ${config}`);
  const { memory, force, compat, transformersCache: cache } = flags;
  return {
    config,
    ...(out !== undefined && { out }),
    ...sharedOptions(flags),
    ...(memory !== undefined && { memory }),
    ...(force && { force }),
    ...(flags.copyTokenizer === false && { copyTokenizer: false }),
    ...(flags.writeModelCard === false && { modelCard: false }),
    ...(compat && { compat }),
    ...(cache !== undefined && { cache }),
  };
}
