// A merge whose inputs are in the page cache, against reading them from there and then writing the output directly:
// on few cores the copies out of the page cache and the kernels compete, so the two floors add up.
import { figure } from '../lib/figures.mjs';
import { floorOnce, mergeOnce } from '../lib/merging.mjs';
import { makeWarm } from '../lib/page-cache.mjs';
import { undisturbed } from '../lib/statistics.mjs';

export async function warm(context) {
  const { pair, pairs, log } = context;
  const runs = [];
  for (let i = 0; i < pairs; i++) {
    const run = {};
    const steps = [
      async () => (run.merge = await warmly(pair, () => mergeOnce(context))),
      async () => {
        run.reads = await warmly(pair, () => floorOnce(context, ['--warm', '--only', 'reads']));
        run.writes = await warmly(pair, () => floorOnce(context, ['--only', 'writes']));
        run.overlapped = await warmly(pair, () => floorOnce(context, ['--warm']));
      },
    ];
    for (const step of i % 2 === 0 ? steps : steps.reverse()) await step();
    run.floorSeconds = run.reads.seconds + run.writes.seconds;
    runs.push(run);
    const seconds = run.merge.result.seconds.toFixed(2);
    log(`warm ${i + 1}/${pairs}: merge ${seconds} s, reads and writes ${run.floorSeconds.toFixed(2)} s`);
  }
  const kept = undisturbed(runs.map(({ floorSeconds }) => floorSeconds)).map((i) => runs[i]);
  const { bytesRead, bytesWritten } = runs[0].merge.result;
  const perRun = (value) => kept.map(value);
  const figures = [
    figure(
      'floor / merge',
      '',
      perRun((r) => r.floorSeconds / r.merge.result.seconds),
      { atLeast: 0.75 },
    ),
    figure(
      'floor / whole process',
      '',
      perRun((r) => r.floorSeconds / r.merge.seconds),
    ),
    figure(
      'floor with overlap / merge',
      '',
      perRun((r) => r.overlapped.seconds / r.merge.result.seconds),
    ),
    figure(
      'merge',
      'GB/s',
      perRun((r) => (bytesRead + bytesWritten) / 1e9 / r.merge.result.seconds),
    ),
    figure(
      'reads from the page cache',
      'GB/s',
      perRun((r) => bytesRead / 1e9 / r.reads.seconds),
    ),
    figure(
      'direct writes',
      'GB/s',
      perRun((r) => bytesWritten / 1e9 / r.writes.seconds),
    ),
    figure(
      'CPU per GB written',
      's',
      perRun((r) => r.merge.cpuSeconds / (bytesWritten / 1e9)),
    ),
  ];
  return { figures, details: { dropped: pairs - kept.length, runs } };
}

async function warmly(pair, measure) {
  makeWarm(pair.files);
  return measure();
}
