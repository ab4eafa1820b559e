import { formatWords } from '../merge/command.js';
import { bytes, checkOptions, device, flag, seed, text, threadCount } from '../merge/option-checks.js';

/** Which mixture of experts to assemble, and how. Sizes are in bytes. */
export interface MoeOptions {
  /** A YAML file as mergekit's moe has them (docs/moe.md). Paths in it are relative to the working directory. */
  readonly config: string;
  /** Directory to create. */
  readonly out: string;
  /** Of random routers and of noise. The same seed gives the same bytes on every machine. Below 2^32; default 0. */
  readonly seed?: number;
  /** That runs the base model on prompts: `auto` (a GPU if there is one), `cpu` (default), `cuda` or `cuda:N`. The results are the same bits. */
  readonly device?: string;
  /** Of the CPU. Default: all. */
  readonly threads?: number;
  /** Bytes of I/O buffers. Default 100 MiB. */
  readonly memory?: number;
  /** Bytes of tensor data per output file. Default 5 GB. */
  readonly shardSize?: number;
  /** Replace an earlier output of the same command. */
  readonly force?: boolean;
  /** Copy the base model's tokenizer. Default true. */
  readonly copyTokenizer?: boolean;
  /** Write a model card. Default true. */
  readonly modelCard?: boolean;
  /** The Hub's cache, in which repositories are looked for. Default: where its client keeps it. */
  readonly cache?: string;
}

const checks = {
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
  cache: text,
};

/** Throws ERR_USAGE naming the option. */
export function checkMoeOptions(options: MoeOptions): void {
  checkOptions(options, checks, ['config', 'out']);
}

/** The command line that does what `options` say, quoted for a POSIX shell. */
export function formatMoeCommand({ config, out, ...given }: MoeOptions): string {
  const { seed, device, threads, memory, shardSize, cache, force } = given;
  const { copyTokenizer = true, modelCard = true } = given;
  const options = {
    ...{ seed, device, threads, memory, 'shard-size': shardSize, 'transformers-cache': cache },
    ...{ 'no-copy-tokenizer': !copyTokenizer, 'no-write-model-card': !modelCard, force },
  };
  return formatWords('wisemerge moe', [config, out], Object.entries(options));
}
