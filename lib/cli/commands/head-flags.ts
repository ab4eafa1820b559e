import { type Command, Option } from 'commander';
import { parseCount } from '../arguments.js';
import { accumulates } from '../repeated-flags.js';
import { addOutputFlags } from '../terminal.js';
import type { HeadFlags } from './head.js';

/** Values of a repeated flag. */
const collect = accumulates((text: string, earlier: readonly string[] = []): readonly string[] => [
  ...earlier,
  text,
]);

export function addHead(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('head'))
    .description('build a zero-shot classifier from class names with the text tower of a CLIP model')
    .requiredOption('--model <path>', 'CLIP model, with its tokenizer.json')
    .requiredOption('--classes <file>', 'class names in the order of the labels: lines, .json or .csv:COLUMN')
    .addOption(
      new Option('--templates <file>', 'prompts with {} for the class name: lines or .json').conflicts(
        'template',
      ),
    )
    .option('--template <text>', "one prompt (default: 'a photo of a {}.'); repeat it for more", collect)
    .requiredOption(
      '--out <path>',
      'safetensors file to write, with head.weight; with --in-model a directory',
    )
    .option('--in-model', 'write a copy of the model with the head in it, for finetune --images')
    .option('--threads <n>', 'CPU threads (default: all)', parseCount)
    .option('--force', 'replace an earlier output of this command')
    .action(async (flags: HeadFlags) => (await import('./head.js')).runHead(flags, signal));
}
