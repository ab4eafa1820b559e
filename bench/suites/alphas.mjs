// K models from one pass over the inputs: the traffic is (2 + K) N for K models, against 3 N for one.
import { freeBytes } from '../lib/checkpoints.mjs';
import { figure } from '../lib/figures.mjs';
import { checkMerge } from '../lib/gate.mjs';
import { mergeOnce } from '../lib/merging.mjs';
import { makeCold } from '../lib/page-cache.mjs';

const counts = [1, 2, 4, 8];

export async function alphas(context) {
  const { pair, pairs, scratch, log, block } = context;
  const needed = counts.at(-1) * pair.bytes;
  if (freeBytes(pair.directory) < 1.1 * needed)
    return { skipped: `needs ${Math.ceil(needed / 1e9)} GB of disk` };
  const list = (count) => Array.from({ length: count }, (_, k) => (k + 1) / 10);
  await mergeOnce({ pair, scratch }, list(counts.at(-1)), (result) => {
    checkMerge(pair, result, block);
  });
  const runs = [];
  for (let i = 0; i < pairs; i++) {
    const seconds = {};
    // There and back again: K = 1 comes first in one round and last in the next.
    for (const count of i % 2 === 0 ? counts : [...counts].reverse()) {
      makeCold(pair.files);
      seconds[count] = (await mergeOnce({ pair, scratch }, list(count))).result.seconds;
    }
    runs.push(seconds);
    log(
      `alphas ${i + 1}/${pairs}: ${counts.map((count) => `K=${count} ${seconds[count].toFixed(2)} s`).join(', ')}`,
    );
  }
  const figures = counts.slice(1).map((count) =>
    figure(
      `time of K = ${count} / time of K = 1`,
      '',
      runs.map((seconds) => seconds[count] / seconds[1]),
      {
        atMost: (1.15 * (2 + count)) / 3,
      },
    ),
  );
  return { figures, details: { secondsByCount: runs } };
}
