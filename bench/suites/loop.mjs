// How long the event loop is held up while a merge runs in the same process.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { figure } from '../lib/figures.mjs';
import { usualAlphas } from '../lib/merging.mjs';
import { makeCold } from '../lib/page-cache.mjs';
import { runNode } from '../lib/processes.mjs';

const child = fileURLToPath(new URL('../lib/loop-child.mjs', import.meta.url));

export async function loop({ pair, pairs, scratch, log }) {
  const { zeroshot, finetuned, files } = pair;
  const out = join(scratch, 'merged');
  const runs = [];
  for (let i = 0; i < pairs; i++) {
    makeCold(files);
    try {
      const options = { zeroshot, finetuned, alpha: usualAlphas[0], out };
      runs.push(JSON.parse((await runNode([child, JSON.stringify(options)])).stdout));
    } finally {
      rmSync(out, { recursive: true, force: true });
    }
    log(
      `loop ${i + 1}/${pairs}: p99 ${runs[i].merge.p99.toFixed(1)} ms, idle ${runs[i].idle.p99.toFixed(1)} ms`,
    );
  }
  const of = (phase, quantile) => runs.map((run) => run[phase][quantile]);
  const figures = [
    figure('delay p99', 'ms', of('merge', 'p99'), { atMost: 20 }),
    figure('delay p50', 'ms', of('merge', 'p50')),
    figure('delay max', 'ms', of('merge', 'max')),
    figure('delay p99 of an idle loop', 'ms', of('idle', 'p99')),
  ];
  return { figures, details: { runs } };
}
