import { bytes, checkOptions, device, flag, oneOf, seed, text, threadCount } from '../option-checks.js';

/** Which merge configuration to carry out, and how. Sizes are in bytes. */
export interface MergeFileOptions {
  /**
   * A YAML file in mergekit's form (docs/merge-files.md). Paths in it are relative to the working directory. Of
   * several documents each is written to a directory of its `name` below `out`, one without a name to `final`.
   */
  readonly config: string;
  /** Directory to create. */
  readonly out: string;
  /** Of random masks (DARE, DELLA). The same seed gives the same bytes on every machine. Below 2^32; default 0. */
  readonly seed?: number;
  /** `auto` (default), `cpu`, `cuda` or `cuda:N`. */
  readonly device?: string;
  /** Of the CPU. Default: all. */
  readonly threads?: number;
  /** Bytes of I/O buffers and of tables. Default 100 MiB, more where a tensor's rows or the number of models need it. */
  readonly memory?: number;
  /** Bytes of tensor data per output file. Default: the donor's files if the tensors are the same, else 5 GB. */
  readonly shardSize?: number;
  /** Replace an earlier output of the same command. */
  readonly force?: boolean;
  /** Copy the donor's tokenizer where the file asks for none of its own. Default true. */
  readonly copyTokenizer?: boolean;
  /** Write a model card. Default true. */
  readonly modelCard?: boolean;
  /** Round where mergekit 0.1.4 does, for the methods whose steps are known (docs/merge-files.md). */
  readonly compat?: 'mergekit';
  /** The Hub's cache, in which repositories are looked for. Default: where its client keeps it. */
  readonly cache?: string;
  /** Read past (`direct`) or through (`cached`) the page cache. Default: by what is in the cache. */
  readonly readMode?: 'direct' | 'cached';
}

const checks: {
  readonly [Option in keyof Required<MergeFileOptions>]: (value: unknown) => string | undefined;
} = {
  config: text,
  out: text,
  seed,
  device,
  threads: threadCount,
  memory: bytes(4 * 2 ** 20, '--memory 4MiB'),
  shardSize: bytes(1, '--shard-size 5GB'),
  force: flag,
  copyTokenizer: flag,
  modelCard: flag,
  compat: oneOf('mergekit'),
  cache: text,
  readMode: oneOf('direct', 'cached'),
};

/** A plan needs no output; without one, its disk is not looked at. */
export type PlanFileOptions = Omit<MergeFileOptions, 'out'> & Partial<Pick<MergeFileOptions, 'out'>>;

/** Throws ERR_USAGE naming the option. */
export function checkMergeFileOptions(
  options: PlanFileOptions,
  required: readonly string[] = ['config', 'out'],
): void {
  checkOptions(options, checks, required);
}
