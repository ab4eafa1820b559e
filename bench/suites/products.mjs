// The matrix product and the passes over logits on one core, as a share of its peak of fused multiply-adds.
import { buildBench } from '../lib/build.mjs';
import { judged } from '../lib/figures.mjs';
import { runJson } from '../lib/processes.mjs';

export async function products({ quick }) {
  const { results, ...machine } = await runJson(buildBench('matmul_bench'), quick ? ['--quick'] : []);
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

/** F32 against the peak; BF16 with the interpolation inside against what F32 reached. */
function targetOf({ name, isa, threads }, results) {
  if (threads !== 1) return undefined;
  if (name === 'matmul 1024^3 F32') return { atLeast: 0.75 };
  if (name !== 'matmul 1024^3 BF16 lerp') return undefined;
  const plain = results.find(
    (one) => one.name === 'matmul 1024^3 F32' && one.isa === isa && one.threads === 1,
  );
  return { atLeast: 0.7 * plain.ratio };
}
