// A merge from disk to disk against its floor: the same reads and writes with nothing between them.
import { figure } from '../lib/figures.mjs';
import { bareNode, floorOnce, mergeOnce, startUpSeconds } from '../lib/merging.mjs';
import { makeCold } from '../lib/page-cache.mjs';
import { median, undisturbed } from '../lib/statistics.mjs';

export async function cold(context) {
  const { pair, pairs, log } = context;
  const bare = await bareNode();
  const startUp = await startUpSeconds(context);
  const merges = [];
  const floors = [];
  const additions = [];
  for (let i = 0; i < pairs; i++) {
    const steps = [
      async () => merges.push(await coldly(pair, () => mergeOnce(context))),
      async () => floors.push(await coldly(pair, () => floorOnce(context))),
    ];
    // ABBA order, so that a drift of the disk does not favour either.
    for (const step of i % 2 === 0 ? steps : steps.reverse()) await step();
    additions.push(await coldly(pair, () => floorOnce(context, ['--add'])));
    log(
      `cold ${i + 1}/${pairs}: merge ${merges[i].result.seconds.toFixed(2)} s, floor ${floors[i].seconds.toFixed(2)} s`,
    );
  }
  const kept = undisturbed(floors.map(({ seconds }) => seconds));
  const bytesRead = merges[0].result.bytesRead;
  const gigabytes = merges[0].result.bytesWritten / 1e9;
  const traffic = (bytesRead + merges[0].result.bytesWritten) / 1e9;
  const perRun = (value) => kept.map((i) => value(merges[i], floors[i]));
  const figures = [
    figure(
      'floor / merge',
      '',
      perRun((m, f) => f.seconds / m.result.seconds),
      { atLeast: 0.9 },
    ),
    figure(
      'floor / whole process',
      '',
      perRun((m, f) => f.seconds / m.seconds),
    ),
    figure(
      'floor with an addition / merge',
      '',
      kept.map((i) => additions[i].seconds / merges[i].result.seconds),
    ),
    figure(
      'merge',
      'GB/s',
      perRun((m) => traffic / m.result.seconds),
    ),
    figure(
      'floor',
      'GB/s',
      perRun((_, f) => traffic / f.seconds),
    ),
    figure(
      'CPU per GB written',
      's',
      merges.map((m) => m.cpuSeconds / gigabytes),
      { atMost: 0.2 },
    ),
    figure(
      'CPU per GB beyond bare node',
      's',
      merges.map((m) => (m.cpuSeconds - bare.cpuSeconds) / gigabytes),
    ),
    figure(
      'CPU per GB beyond start-up',
      's',
      merges.map((m) => (m.cpuSeconds - startUp) / gigabytes),
    ),
    figure(
      'CPU per GB of the floor',
      's',
      floors.map((f) => f.cpuSeconds / gigabytes),
    ),
    figure(
      'CPU per GB of the floor with an addition',
      's',
      additions.map((f) => f.cpuSeconds / gigabytes),
    ),
    figure(
      'CPU beyond start-up / floor with an addition',
      '',
      additions.map((f, i) => (merges[i].cpuSeconds - startUp) / f.cpuSeconds),
    ),
    figure(
      'peak memory beyond bare node',
      'MiB',
      merges.map((m) => (m.peakBytes - bare.peakBytes) / 2 ** 20),
      {
        atMost: 128,
      },
    ),
  ];
  return {
    figures,
    details: {
      bare,
      startUp,
      dropped: pairs - kept.length,
      perGigabyte: work(merges, gigabytes),
      merges,
      floors,
      additions,
    },
  };
}

async function coldly(pair, measure) {
  makeCold(pair.files);
  return measure();
}

/** What a loaded machine does not change: medians of work done, per GB written. */
function work(merges, gigabytes) {
  const names = ['readBytes', 'writtenBytes', 'readCalls', 'writeCalls', 'pageFaults'];
  return Object.fromEntries(
    names.map((name) => [name, median(merges.map((m) => (m[name] ?? Number.NaN) / gigabytes))]),
  );
}
