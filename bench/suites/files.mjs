// Merge files from disk to disk against their floor: the reads that a method needs, once or twice, and one write.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { layers, openTrio, weightFiles } from '../lib/checkpoints.mjs';
import { figure } from '../lib/figures.mjs';
import { bareNode, floorOver } from '../lib/merging.mjs';
import { makeCold } from '../lib/page-cache.mjs';
import { runWisemerge } from '../lib/processes.mjs';
import { undisturbed } from '../lib/statistics.mjs';

/**
 * `passes`: how often the mathematics needs the inputs. Twice where a threshold, a norm or an inner product of the whole
 * tensor decides about each element.
 */
const merges = [
  { method: 'linear', models: 2, passes: 1 },
  { method: 'task_arithmetic', models: 3, passes: 1 },
  { method: 'dare_linear', models: 3, passes: 1, density: 0.5, parameters: { rescale: false } },
  { method: 'dare_ties', models: 3, passes: 2, density: 0.5 },
  { method: 'ties', models: 3, passes: 2, density: 0.5 },
  { method: 'della', models: 3, passes: 2, density: 0.5, own: { epsilon: 0.1 } },
  { method: 'breadcrumbs', models: 3, passes: 2, density: 0.9, own: { gamma: 0.01 } },
  { method: 'slerp', models: 2, passes: 2, parameters: { t: 0.4 } },
  { method: 'multislerp', models: 2, passes: 2 },
  { method: 'model_stock', models: 3, passes: 2 },
  { method: 'karcher', models: 2, passes: 2 },
];
const weighted = new Set(['slerp', 'model_stock', 'karcher']);
/** Bytes of the requests of merge files (lib/merge/many/chunks.ts). */
const block = 2 * 2 ** 20;
const onePass = { atLeast: 0.9 };
const twoPasses = { atLeast: 1 / 1.3 };

export async function files(context) {
  const { directory, quick, pairs, scratch, log } = context;
  const trio = await openTrio(directory, quick ? layers.quick : layers.usual, log);
  const bare = await bareNode();
  const figures = [];
  const details = {};
  mkdirSync(scratch, { recursive: true });
  for (const merge of merges) {
    const models = [trio.zeroshot, trio.finetuned, trio.other].slice(0, merge.models);
    const inputs = models.flatMap(weightFiles);
    const config = join(scratch, `${merge.method}.yml`);
    writeFileSync(config, JSON.stringify(configOf(merge, models)));
    const floorOf = () => floorOver(context, inputs, block, merge.passes, ['--threads']);
    const runs = [];
    const floors = [];
    for (let i = 0; i < pairs; i++) {
      const steps = [
        async () => runs.push(await coldly(inputs, () => mergeOnce(config, scratch))),
        async () => floors.push(await coldly(inputs, floorOf)),
      ];
      // ABBA order, so that a drift of the disk does not favour either.
      for (const step of i % 2 === 0 ? steps : steps.reverse()) await step();
    }
    const kept = undisturbed(floors.map(({ seconds }) => seconds));
    const seconds = runs.map(({ result }) => result.seconds);
    figures.push(
      figure(
        `${merge.method}: floor / merge`,
        '',
        kept.map((i) => floors[i].seconds / seconds[i]),
        merge.passes === 1 ? onePass : twoPasses,
      ),
      figure(`${merge.method}: time`, 's', seconds),
      figure(
        `${merge.method}: peak memory beyond bare node`,
        'MiB',
        runs.map(({ peakBytes }) => (peakBytes - bare.peakBytes) / 2 ** 20),
        { atMost: 128 },
      ),
    );
    details[merge.method] = { runs: runs.map(({ result: _result, ...run }) => run), floors };
    log(`${merge.method}: ${seconds.map((s) => s.toFixed(2)).join(', ')} s`);
  }
  return { figures, details };
}

function configOf({ method, density, parameters, own }, models) {
  const [base, ...others] = models;
  // Two models: both are merged, and SLERP names its first one. Three: the first is the base of the others.
  const listed = models.length === 2 ? models : others;
  const ofEach = {
    ...(!weighted.has(method) && { weight: 0.4 }),
    ...(density && { density }),
    ...own,
  };
  return {
    merge_method: method,
    ...((models.length === 3 || method === 'slerp') && { base_model: base }),
    models: listed.map((model) => ({
      model,
      ...(Object.keys(ofEach).length > 0 && { parameters: ofEach }),
    })),
    ...(parameters && { parameters }),
    dtype: 'bfloat16',
  };
}

async function mergeOnce(config, scratch) {
  const out = join(scratch, 'merged');
  try {
    return await runWisemerge(['merge', config, out]);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

async function coldly(inputs, measure) {
  makeCold(inputs);
  return measure();
}
