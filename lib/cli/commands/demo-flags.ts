import type { Command } from 'commander';
import { parseCount } from '../arguments.js';
import { addOutputFlags } from '../terminal.js';
import type { DemoFlags } from './demo.js';

export function addDemo(program: Command, signal: AbortSignal): void {
  addOutputFlags(program.command('demo'))
    .description('show the whole method on drawn pictures: pre-train, fine-tune, sweep, choose alpha, report')
    .option(
      '--out <directory>',
      "directory for the first seed's models and sweep, and the result (default: keep nothing)",
    )
    .option('--seeds <n>', 'runs of the whole method, at least 2 (default: 5)', parseCount)
    .option('--vit', 'use a small ViT instead of an MLP; takes some minutes')
    .option('--control', 'also show what breaks interpolation')
    .option('--force', 'replace an earlier demo')
    .action(async (flags: DemoFlags) => (await import('./demo.js')).runDemo(flags, signal));
}
