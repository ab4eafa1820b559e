import type { Command } from 'commander';
import type { MoeOptions } from '../../moe/options.js';
import { parseBytes, parseCount, parseSeed } from '../arguments.js';
import {
  addHidden,
  addMergekitFlags,
  addMergekitNames,
  type MergekitFlags,
  type NeedlessFlag,
  noteNeedless,
  sharedOptions,
} from '../mergekit-flags.js';
import { addOutputFlags } from '../terminal.js';

export interface MoeFlags extends MergekitFlags {
  readonly plan?: boolean;
  readonly memory?: number;
  readonly force?: boolean;
}

/** Of mergekit-moe. */
const needless: readonly NeedlessFlag[] = [
  { flag: 'load-in-4bit', why: 'the base model runs with the weights that are stored' },
  { flag: 'load-in-8bit', why: 'the base model runs with the weights that are stored' },
  {
    flag: 'i-understand-this-is-not-useful-without-training',
    why: 'experts that are all one model are warned of, not refused',
  },
];

export function addMoe(program: Command, signal: AbortSignal): void {
  const command = addOutputFlags(program.command('moe <config> <out>'))
    .summary('build a mixture of experts from dense models')
    .description(
      "Build a mixture of experts from dense models, as a configuration file in mergekit-moe's YAML format says.",
    )
    .option('--plan', 'only show what would be done; reads only headers and configuration files')
    .option('--seed <n>', 'seed of random routers and noise (default: 0)', parseSeed)
    .option('--device <device>', 'device that runs the prompts: auto, cpu, cuda or cuda:N (default: cpu)')
    .option('-j, --threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--memory <size>', 'most memory for I/O buffers, such as 256MiB (default: 100MiB)', parseBytes)
    .option('--shard-size <size>', 'bytes of tensors per output file (default: 5GB)', parseBytes)
    .option('--no-copy-tokenizer', "do not copy the base model's tokenizer")
    .option('--force', 'replace an earlier output of this command');
  addHidden(command, '--random-seed <n>', parseSeed);
  addMergekitNames(command);
  addMergekitFlags(command, needless).action(async (config: string, out: string, flags: MoeFlags) => {
    noteNeedless(flags, needless);
    await (await import('./moe.js')).runMoe(toMoeOptions(config, out, flags), flags, signal);
  });
}

/** The options that flags stand for. Throws ERR_USAGE where two names of one contradict each other. */
function toMoeOptions(config: string, out: string, flags: MoeFlags): MoeOptions {
  const { memory, force, transformersCache: cache } = flags;
  return {
    ...{ config, out },
    ...sharedOptions(flags),
    ...(memory !== undefined && { memory }),
    ...(force && { force }),
    ...(flags.copyTokenizer === false && { copyTokenizer: false }),
    ...(flags.writeModelCard === false && { modelCard: false }),
    ...(cache !== undefined && { cache }),
  };
}
