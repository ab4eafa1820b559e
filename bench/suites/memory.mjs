// Peak memory of a merge, and of one four times larger: it must not depend on the size.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freeBytes, layers, openPair } from '../lib/checkpoints.mjs';
import { figure } from '../lib/figures.mjs';
import { bareNode, mergeOnce } from '../lib/merging.mjs';
import { makeCold } from '../lib/page-cache.mjs';

const repeats = 3;

export async function memory(context) {
  const { pair, directory, quick, scratch, log } = context;
  const large = join(directory, 'large');
  const made = existsSync(join(large, 'finetuned'));
  const needed = (made ? 1 : 3) * 4.1 * pair.bytes;
  if (freeBytes(directory) < 1.1 * needed) return { skipped: `needs ${Math.ceil(needed / 1e9)} GB of disk` };
  const bare = await bareNode();
  const bigger = await openPair(large, quick ? layers.quickLarge : layers.large, log);
  const usual = await peaks({ pair, scratch }, bare);
  const grown = await peaks({ pair: bigger, scratch }, bare);
  const factor = (bigger.bytes / pair.bytes).toPrecision(2);
  const figures = [
    figure('peak beyond bare node', 'MiB', usual, { atMost: 128 }),
    figure(`peak beyond bare node, ${factor} times the bytes`, 'MiB', grown, { atMost: 128 }),
  ];
  return { figures, details: { bare, bytes: [pair.bytes, bigger.bytes] } };
}

async function peaks(context, bare) {
  const samples = [];
  for (let i = 0; i < repeats; i++) {
    makeCold(context.pair.files);
    const { peakBytes } = await mergeOnce(context);
    samples.push((peakBytes - bare.peakBytes) / 2 ** 20);
  }
  return samples;
}
