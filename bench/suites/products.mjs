// The matrix product and the passes over logits on one core, as a share of its peak of fused multiply-adds.
import { buildBench } from '../lib/build.mjs';
import { figure } from '../lib/figures.mjs';
import { runJson } from '../lib/processes.mjs';
import { median } from '../lib/statistics.mjs';

export async function products({ quick, log }) {
  // Several times, so that minutes lie between the first and the last measurement of a case.
  const rounds = [];
  for (let round = 1; round <= (quick ? 1 : 3); round++) {
    rounds.push(await runJson(buildBench('matmul_bench'), quick ? ['--quick'] : []));
    log(`products: round ${round}`);
  }
  const cases = rounds[0].results.map(({ name, isa, threads }, i) => {
    const results = rounds.map((round) => round.results[i]);
    const highest = (of) => Math.max(...results.map(of));
    return {
      ...{ name, isa, threads },
      ratios: results.map(({ ratio }) => ratio),
      fastest: highest((one) => one.highest_gflops) / highest((one) => one.highest_peak),
    };
  });
  const figures = cases.flatMap((one) => {
    const name = `${one.name}, ${one.isa}, ${one.threads === 1 ? '1 thread' : `${one.threads} threads`}`;
    const target = targetOf(one, cases);
    const ratio = figure(name, '', one.ratios, target);
    // A neighbour on the core's other thread takes caches and instructions from a product and hardly any from a
    // chain in registers. How good the kernel is without one shows in the fastest of many short runs.
    return target ? [ratio, figure(`${name}, fastest / fastest peak`, '', [one.fastest])] : [ratio];
  });
  const { results: _results, ...machine } = rounds[0];
  return { figures, details: { ...machine, rounds: rounds.map(({ results }) => results) } };
}

/** F32 against the peak; BF16 with the interpolation inside against what F32 reached. */
function targetOf({ name, isa, threads }, cases) {
  if (threads !== 1) return undefined;
  if (name === 'matmul 1024^3 F32') return { atLeast: 0.75 };
  if (name !== 'matmul 1024^3 BF16 lerp') return undefined;
  const plain = cases.find((one) => one.name === 'matmul 1024^3 F32' && one.isa === isa && one.threads === 1);
  return { atLeast: 0.7 * median(plain.ratios) };
}
