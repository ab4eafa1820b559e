import { type Command, Option } from 'commander';
import { parseAlphas } from '../../merge/alpha.js';
import { precisions } from '../../precision.js';
import { parseCount, parseNames } from '../arguments.js';
import { addOutputFlags } from '../terminal.js';
import type { ForwardFlags } from './forward.js';

export function addForward(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('forward'))
    .description('run a network on given inputs, at any alphas, without writing a merged model')
    .option('--model <path>', 'model to run as it is')
    .option('--zeroshot <path>', 'instead of --model: zero-shot model')
    .option('--finetuned <path>', 'model fine-tuned from it')
    .option(
      '--alpha <values>',
      'with --zeroshot and --finetuned: one value, a list or a range start:end:step',
      (text: string) => parseAlphas(text),
    )
    .option('--extrapolate', 'allow alphas outside [0, 1]')
    .requiredOption(
      '--inputs <file>',
      'safetensors file with pixel_values, input_ids, attention_mask, features, …',
    )
    .requiredOption('--out <file>', 'safetensors file to write, with alpha_0.3.logits, …')
    .option('--force', 'replace an earlier output of this command')
    .option('--outputs <names>', 'names of the outputs to compute, such as loss (default: all)', parseNames)
    .option('--device <device>', 'cpu, cuda, cuda:N, or auto: a GPU if there is one (default: auto)')
    .addOption(
      new Option(
        '--precision <precision>',
        'matrix products: exact (the same bits everywhere), fast (tensor cores) or tf32 (cuBLASLt) (default: exact)',
      ).choices(precisions),
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .action(async (flags: ForwardFlags) => (await import('./forward.js')).runForward(flags, signal));
}
