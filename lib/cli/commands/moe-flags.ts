import type { Command } from 'commander';
import type { MoeOptions } from '../../moe/options.js';
import { parseBytes, parseCount, parseSeed } from '../arguments.js';
import type { OutputFlags } from '../terminal.js';

export interface MoeFlags extends OutputFlags, Omit<MoeOptions, 'config' | 'out' | 'cache'> {
  readonly transformersCache?: string;
  readonly plan?: boolean;
}

export function addMoe(command: Command, signal: AbortSignal): Command {
  return command
    .description('assemble a mixture of experts from dense models')
    .option('--plan', 'only show what would be done, from headers alone')
    .option('--seed <n>', 'of random routers and noise (default: 0)', parseSeed)
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--memory <size>', 'I/O buffers, such as 256MiB (default: 100MiB)', parseBytes)
    .option('--shard-size <size>', 'bytes of tensors per file (default: 5GB)', parseBytes)
    .option(
      '--transformers-cache <directory>',
      "where repositories of the Hugging Face Hub are kept (default: its client's)",
    )
    .option('--force', 'replace an earlier output of this command')
    .action(async (config: string, out: string, flags: MoeFlags) =>
      (await import('./moe.js')).runMoe(config, out, flags, signal),
    );
}
