import type { Command } from 'commander';
import { activationOption, parseAmount, parseCount, parseSeed } from '../arguments.js';
import { addOutputFlags } from '../terminal.js';
import type { FinetuneFlags } from './finetune.js';

export function addFinetune(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('finetune'))
    .description(
      'fine-tune a zero-shot model: ViT or CLIP on images, a linear head or an MLP on cached features',
    )
    .requiredOption('--zeroshot <path>', 'model to start from')
    .option(
      '--features <file>',
      'training set: features [N, D] or pictures [N, C, H, W] in .npy, .npz:ARRAY or .safetensors:TENSOR',
    )
    .option(
      '--images <path>',
      'training set of images: one directory per class, or a table of paths and labels',
    )
    .option('--labels <file>', 'class numbers [N]: in the formats of --features, .csv, .jsonl or .parquet')
    .option('--held-out-features <file>', 'held-out features, evaluated after each epoch')
    .option('--held-out-images <path>', 'held-out images, likewise')
    .option('--held-out-labels <file>', 'labels of the held-out set')
    .option(
      '--class-names <file>',
      'images: class names in the order of the head: lines, .json or .csv:COLUMN',
    )
    .requiredOption('--out <directory>', 'output directory; epoch N is written to <directory>/epoch_000N')
    .option('--head <tensor>', 'name of the weight of the linear head; on features, train it alone')
    .addOption(activationOption())
    .option('--epochs <n>', 'passes over the training set (default: 10)', parseCount)
    .option('--batch-size <n>', 'samples per step (default: 128)', parseCount)
    .option('--lr <rate>', 'largest learning rate (default: 1e-3)', parseAmount)
    .option('--weight-decay <rate>', 'weight decay of AdamW (default: 0.1)', parseAmount)
    .option('--label-smoothing <share>', 'label smoothing, from 0 to below 1 (default: 0)', parseAmount)
    .option('--clip <norm>', 'largest norm of the gradient; 0: no clipping (default: 1)', parseAmount)
    .option(
      '--warmup <steps>',
      'steps of linear warm-up (default: 500, at most a tenth of all steps)',
      parseSeed,
    )
    .option('--seed <n>', 'seed of the order of samples (default: 0)', parseSeed)
    .option('--balanced', 'draw every class equally often')
    .option(
      '--device <device>',
      'cpu, cuda, cuda:N, or auto: for pictures a GPU if there is one (default: auto)',
    )
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--resume', 'continue after the last complete epoch')
    .option('--force', 'replace an earlier output of this command')
    .action(async (flags: FinetuneFlags) => (await import('./finetune.js')).runFinetune(flags, signal));
}
