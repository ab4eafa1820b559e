// The subject and its calibrator: one merge, and the same reads and writes without it.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildBench } from './build.mjs';
import { runJson, runNode, runWisemerge } from './processes.mjs';
import { median } from './statistics.mjs';

/** A value whose products with bf16 differences need all bits of the fused multiply-add. */
export const usualAlphas = [0.3];

/** Merges into a fresh directory and gives timings, usage and result; `inspect` sees the output before it goes. */
export async function mergeOnce({ pair, scratch }, alphas = usualAlphas, inspect = () => {}) {
  const out = join(scratch, 'merged');
  const args = [
    '--zeroshot',
    pair.zeroshot,
    '--finetuned',
    pair.finetuned,
    '--alpha',
    alphas.join(','),
    '--out',
    out,
  ];
  mkdirSync(scratch, { recursive: true });
  try {
    const measured = await runWisemerge(['merge', ...args]);
    await inspect(measured.result);
    return measured;
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** Runs io_floor over the same pair in blocks of `block` bytes; gives its seconds. */
export function floorOnce(context, flags = []) {
  return floorOver(context, context.pair.files, context.block, 1, flags);
}

/** The same over any inputs, read `passes` times. */
export async function floorOver({ scratch }, inputs, block, passes, flags = []) {
  const out = join(scratch, 'floor');
  mkdirSync(scratch, { recursive: true });
  const sizes = ['--block', String(block), '--passes', String(passes)];
  try {
    return await runJson(buildBench('io_floor'), [...inputs, out, ...sizes, ...flags]);
  } finally {
    rmSync(out, { force: true });
  }
}

/** Medians of a process that does nothing: what of a merge is Node's own. */
export async function bareNode(repeats = 5) {
  const runs = [];
  for (let i = 0; i < repeats; i++) runs.push(await runNode(['-e', '0']));
  const of = (value) => median(runs.map(value));
  return {
    seconds: of((run) => run.seconds),
    cpuSeconds: of((run) => run.userSeconds + run.systemSeconds),
    peakBytes: of((run) => run.peakBytes),
  };
}

/** CPU seconds of a merge with next to no data: starting Node, loading modules, reading headers. */
export async function startUpSeconds({ scratch }, repeats = 5) {
  const models = join(import.meta.dirname, '..', '..', 'test', 'fixtures', 'llama-tiny');
  const pair = { zeroshot: join(models, 'base'), finetuned: join(models, 'a') };
  const runs = [];
  for (let i = 0; i < repeats; i++) runs.push(await mergeOnce({ pair, scratch }));
  return median(runs.map((run) => run.cpuSeconds));
}
