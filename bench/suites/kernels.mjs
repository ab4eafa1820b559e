// The CPU kernels from memory, as a share of what a copy with non-temporal stores reaches beside them.
import { buildBench } from '../lib/build.mjs';
import { judged } from '../lib/figures.mjs';
import { runJson } from '../lib/processes.mjs';

export async function kernels({ quick }) {
  const { results, ...machine } = await runJson(buildBench('kernel_bench'), quick ? ['--quick'] : []);
  const figures = results.map((result) =>
    judged({
      name: nameOf(result),
      unit: '',
      median: result.ratio,
      interval: [result.ratio_low, result.ratio_high],
      min: result.ratio_min,
      max: result.ratio_max,
      samples: result.pairs,
      target: targetOf(result),
    }),
  );
  return { figures, details: { ...machine, results } };
}

function nameOf({ kernel, in: from, out, isa, threads, alphas }) {
  const dtypes = kernel === 'compare' || from === out ? from : `${from} to ${out}`;
  const count = alphas > 1 ? `, ${alphas} alphas` : '';
  return `${kernel} ${dtypes}${count}, ${isa}, ${threads === 1 ? '1 thread' : `${threads} threads`}`;
}

/** One thread only: with several, the copy itself wanders too much for a limit. */
function targetOf({ kernel, in: from, out, isa, threads, alphas }) {
  const plain = kernel === 'lerp' && from === out && ['BF16', 'F16', 'F32'].includes(from) && alphas === 1;
  if (!plain || threads !== 1) return undefined;
  return { avx512: { atLeast: 0.9 }, avx2: { atLeast: 0.65 } }[isa];
}
