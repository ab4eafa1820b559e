import { failOption } from '../../call-options.js';
import { type Flag, formatWords } from '../command.js';
import {
  type Check,
  checkOptions,
  device,
  flag,
  isNumber,
  names,
  oneOf,
  seed,
  text,
  threadCount,
  whole,
} from '../option-checks.js';

/** From which models to extract an adapter, and how. */
export interface ExtractLoraOptions {
  /** The model that the adapter is for. */
  readonly base: string;
  /** The model that base and adapter together are to come near. */
  readonly finetuned: string;
  /** Directory to create. */
  readonly out: string;
  /** Rank of every factor pair; less where a difference has no more. This or `energy`. */
  readonly rank?: number;
  /** Of each difference, the share of its squares to capture, with the least rank that does: 0.9, for example. */
  readonly energy?: number;
  /** With `energy`: ranks end here. Default 128. */
  readonly maxRank?: number;
  /**
   * Modules to adapt, by name or by the end of it (`q_proj`). Default: all matrices but embeddings and output heads.
   */
  readonly modules?: readonly string[];
  /** Put what has no low-rank form (embeddings, heads, norms, biases) into the adapter as a whole where it differs. */
  readonly saveModules?: boolean;
  /** Layers are stored [in, out]. Default: by model_type of config.json. */
  readonly fanInFanOut?: boolean;
  /** Of the factors. Default: float32. */
  readonly dtype?: 'float32' | 'float16' | 'bfloat16';
  /** Of the random start. Below 2^32; default 0. */
  readonly seed?: number;
  /** Where the products are computed: `auto` (the CPU), `cpu`, `cuda` or `cuda:N`. */
  readonly device?: string;
  /** Of the CPU. Default: all. */
  readonly threads?: number;
  /** Replace an earlier output of the same command. */
  readonly force?: boolean;
}

const defaultMaxRank = 128;

const share: Check = (value) =>
  isNumber(value) && value > 0 && value < 1 ? undefined : 'must be a share above 0 and below 1';

const checks: { readonly [Option in keyof Required<ExtractLoraOptions>]: Check } = {
  base: text,
  finetuned: text,
  out: text,
  rank: whole(1),
  energy: share,
  maxRank: whole(1),
  modules: names,
  saveModules: flag,
  fanInFanOut: flag,
  dtype: oneOf('float32', 'float16', 'bfloat16'),
  seed,
  device,
  threads: threadCount,
  force: flag,
};

/** How ranks are chosen. */
export interface RankChoice {
  readonly most: number;
  /** 1: as many as `most`. */
  readonly energy: number;
}

/** Throws ERR_USAGE naming the option. */
export function checkExtractOptions(options: ExtractLoraOptions): RankChoice {
  checkOptions(options, checks, ['base', 'finetuned', 'out']);
  const { rank, energy, maxRank } = options;
  if ((rank === undefined) === (energy === undefined)) {
    failOption('rank', 'give either rank, or energy with at most maxRank');
  }
  if (rank !== undefined && maxRank !== undefined) failOption('maxRank', 'is for energy, not for rank');
  return rank === undefined
    ? { most: maxRank ?? defaultMaxRank, energy: energy! }
    : { most: rank, energy: 1 };
}

/** The command line that does what `options` say, quoted for a POSIX shell. */
export function formatExtractCommand(options: ExtractLoraOptions): string {
  const { base, finetuned, rank, energy, maxRank, modules, saveModules, fanInFanOut } = options;
  const { dtype, seed, device, threads, out, force } = options;
  const flags: Flag[] = [
    ['base', base],
    ['finetuned', finetuned],
    ['rank', rank],
    ['energy', energy],
    ['max-rank', maxRank],
    ['modules', modules?.join(',')],
    ['save-modules', saveModules],
    ['fan-in-fan-out', fanInFanOut],
    ['dtype', dtype],
    ['seed', seed],
    ['device', device === 'auto' ? undefined : device],
    ['threads', threads],
    ['out', out],
    ['force', force],
  ];
  return formatWords('wisemerge extract-lora', [], flags);
}
