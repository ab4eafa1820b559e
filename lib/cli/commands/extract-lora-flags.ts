import { type Command, Option } from 'commander';
import type { ExtractLoraOptions } from '../../merge/lora/extract-options.js';
import { parseAmount, parseCount, parseNames, parseSeed } from '../arguments.js';
import { addOutputFlags, type OutputFlags } from '../terminal.js';

export interface ExtractLoraFlags extends OutputFlags, ExtractLoraOptions {}

export function addExtractLora(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('extract-lora'))
    .summary('extract a LoRA adapter from the difference between two models')
    .description(
      "Extract a LoRA adapter in PEFT's format from the difference between two models. Give either --rank or --energy.",
    )
    .requiredOption('--base <path>', 'model that the adapter is for')
    .requiredOption('--finetuned <path>', 'model that the base with the adapter should approximate')
    .option('--rank <n>', 'rank of the adapter', parseCount)
    .option(
      '--energy <share>',
      "choose each weight's rank to capture this share of its squared difference, such as 0.9",
      parseAmount,
    )
    .option('--max-rank <n>', 'with --energy: largest rank (default: 128)', parseCount)
    .option(
      '--modules <names>',
      'modules to adapt, by name or end of name: q_proj,v_proj (default: all matrices except embeddings and output heads)',
      parseNames,
    )
    .option(
      '--save-modules',
      'store changed tensors without a low-rank form (embeddings, heads, norms, biases) whole',
    )
    .option('--fan-in-fan-out', 'weights are stored as [in, out] (default: by model_type in config.json)')
    .addOption(
      new Option('--dtype <dtype>', 'dtype of the factors (default: float32)').choices([
        'float32',
        'float16',
        'bfloat16',
      ]),
    )
    .option('--seed <n>', 'seed of the random start (default: 0)', parseSeed)
    .option(
      '--device <device>',
      'device for matrix products: auto, cpu, cuda or cuda:N (default: auto, which is the CPU)',
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .requiredOption('--out <directory>', 'output directory')
    .option('--force', 'replace an earlier output of this command')
    .action(async (flags: ExtractLoraFlags) =>
      (await import('./extract-lora.js')).runExtractLora(flags, signal),
    );
}
