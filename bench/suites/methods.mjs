// The calls of merging many models from memory, as a share of what a copy with non-temporal stores reaches beside
// them.
import { buildBench } from '../lib/build.mjs';
import { judged } from '../lib/figures.mjs';
import { runJson } from '../lib/processes.mjs';

export async function methods({ quick }) {
  const { results, ...machine } = await runJson(buildBench('merge_bench'), quick ? ['--quick'] : []);
  const figures = results.map((result) =>
    judged({
      name: `${result.name}, ${result.isa}, ${result.threads === 1 ? '1 thread' : `${result.threads} threads`}`,
      unit: '',
      median: result.ratio,
      interval: [result.ratio_low, result.ratio_high],
      min: result.ratio_min,
      max: result.ratio_max,
      samples: result.pairs,
      target: targetOf(result, results),
    }),
  );
  return { figures, details: { ...machine, results } };
}

/** Weighted sums against what the interpolation of two models reached, on one thread. */
function targetOf({ name, isa, threads }, results) {
  const share = { 'sum of 2': 0.7, 'delta sum of 2': 0.55 }[name];
  if (threads !== 1 || isa !== 'avx512' || share === undefined) return undefined;
  const interpolation = results.find((one) => one.name === 'lerp 2' && one.threads === 1);
  return { atLeast: share * interpolation.ratio };
}
