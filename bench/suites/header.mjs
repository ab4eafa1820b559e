// Parsing the header of half a million tensors.
import { buildBench } from '../lib/build.mjs';
import { figure } from '../lib/figures.mjs';
import { runJson } from '../lib/processes.mjs';

const repeats = 3;

export async function header({ quick }) {
  const program = buildBench('header_bench');
  const runs = [];
  for (let i = 0; i < (quick ? 1 : repeats); i++) runs.push(await runJson(program, []));
  const seconds = (name) => runs.map((run) => run[name] / 1000);
  const figures = [
    figure(`${runs[0].tensors} tensors`, 's', seconds('ms'), { atMost: 0.5 }),
    figure(`${runs[0].tensors} tensors, not in order of data`, 's', seconds('shuffled_ms'), { atMost: 0.5 }),
  ];
  return { figures, details: { runs } };
}
