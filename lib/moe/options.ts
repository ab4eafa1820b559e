import { formatWords } from '../merge/command.js';
import { bytes, checkOptions, flag, seed, text, whole } from '../merge/option-checks.js';

/** Which mixture of experts to assemble, and how. Sizes are in bytes. */
export interface MoeOptions {
  /** A YAML file as mergekit's moe has them (docs/moe.md). Paths in it are relative to the working directory. */
  readonly config: string;
  /** Directory to create. */
  readonly out: string;
  /** Of random routers and of noise. The same seed gives the same bytes on every machine. Below 2^32; default 0. */
  readonly seed?: number;
  /** Of the CPU. Default: all. */
  readonly threads?: number;
  /** Bytes of I/O buffers. Default 100 MiB. */
  readonly memory?: number;
  /** Bytes of tensor data per output file. Default 5 GB. */
  readonly shardSize?: number;
  /** Replace an earlier output of the same command. */
  readonly force?: boolean;
  /** The Hub's cache, in which repositories are looked for. Default: where its client keeps it. */
  readonly cache?: string;
}

const checks = {
  config: text,
  out: text,
  seed,
  threads: whole(1),
  memory: bytes(4 * 2 ** 20, '--memory 4MiB'),
  shardSize: bytes(1, '--shard-size 5GB'),
  force: flag,
  cache: text,
};

/** Throws ERR_USAGE naming the option. */
export function checkMoeOptions(options: MoeOptions): void {
  checkOptions(options, checks, ['config', 'out']);
}

/** The command line that does what `options` say, quoted for a POSIX shell. */
export function formatMoeCommand({ config, out, ...given }: MoeOptions): string {
  const { seed, threads, memory, shardSize, cache, force } = given;
  const options = { seed, threads, memory, 'shard-size': shardSize, 'transformers-cache': cache, force };
  return formatWords('wisemerge moe', [config, out], Object.entries(options));
}
