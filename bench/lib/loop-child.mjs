// Merges through the API while the delay of the event loop is measured, after a second of doing nothing:
//   node loop-child.mjs '{"zeroshot": …, "finetuned": …, "alpha": …, "out": …}'
// Prints one JSON object with the delays in milliseconds, `idle` and `merge`.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { merge } from '../../dist/index.js';

const resolution = 5;

// The histogram holds the time between two ticks of a timer; beyond the timer's own period it is delay.
async function delays(work) {
  const histogram = monitorEventLoopDelay({ resolution });
  histogram.enable();
  await work();
  histogram.disable();
  const beyond = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - resolution);
  return {
    p50: beyond(histogram.percentile(50)),
    p99: beyond(histogram.percentile(99)),
    max: beyond(histogram.max),
    ticks: histogram.count,
  };
}

const options = JSON.parse(process.argv[2]);
const idle = await delays(() => sleep(1000));
let reports = 0;
const during = await delays(() => merge({ ...options, onProgress: () => reports++ }));
console.log(JSON.stringify({ idle, merge: during, reports }));
