import { type Command, Option } from 'commander';
import type { ExtractLoraOptions } from '../../merge/lora/extract-options.js';
import { parseAmount, parseCount, parseNames, parseSeed } from '../arguments.js';
import type { OutputFlags } from '../terminal.js';

export interface ExtractLoraFlags extends OutputFlags, ExtractLoraOptions {}

export function addExtractLora(command: Command, signal: AbortSignal): Command {
  return command
    .description('make a LoRA adapter of the difference between two models')
    .requiredOption('--base <path>', 'model that the adapter is for')
    .requiredOption('--finetuned <path>', 'model that base and adapter are to come near')
    .option('--rank <n>', 'rank of every weight', parseCount)
    .option(
      '--energy <share>',
      "or the share of each difference's squares to capture, such as 0.9",
      parseAmount,
    )
    .option('--max-rank <n>', 'with --energy: ranks end here (default: 128)', parseCount)
    .option(
      '--modules <names>',
      'to adapt, by name or the end of it: q_proj,v_proj (default: all but embeddings and heads)',
      parseNames,
    )
    .option('--save-modules', 'save what has no low-rank form (embeddings, heads, norms, biases) as a whole')
    .option('--fan-in-fan-out', 'layers are stored [in, out] (default: by config.json)')
    .addOption(
      new Option('--dtype <dtype>', 'of the factors (default: float32)').choices([
        'float32',
        'float16',
        'bfloat16',
      ]),
    )
    .option('--seed <n>', 'of the random start (default: 0)', parseSeed)
    .option('--device <device>', 'of the products: auto, cpu, cuda or cuda:N (default: auto)')
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .requiredOption('--out <directory>', 'output')
    .option('--force', 'replace an earlier output of this command')
    .action(async (flags: ExtractLoraFlags) =>
      (await import('./extract-lora.js')).runExtractLora(flags, signal),
    );
}
