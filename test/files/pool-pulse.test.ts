import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { startPulse } from '../../lib/files/pool-pulse.js';
import {
  diff,
  merge,
  mergeFile,
  openCheckpoint,
  openImageSet,
  openMergeFile,
  planMerge,
  readImageTransform,
  verify,
  writeReport,
} from '../../lib/index.js';
import { runCli } from '../support/cli.js';
import { tempDir } from '../support/temp.js';

const pulses = vi.hoisted(() => new Set<unknown>());
vi.mock(import('node:timers'), async (original) => {
  const timers = await original();
  return {
    ...timers,
    setInterval: ((...args: Parameters<typeof timers.setInterval>) => {
      const timer = timers.setInterval(...args);
      pulses.add(timer);
      return timer;
    }) as typeof timers.setInterval,
    clearInterval: (timer) => {
      pulses.delete(timer);
      timers.clearInterval(timer);
    },
  };
});
afterEach(() => pulses.clear());

describe('the pulse', () => {
  it('goes on until the last of those who asked for it is done', () => {
    const [first, second] = [startPulse(), startPulse()];
    expect(pulses.size).toBe(1);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    expect(pulses.size).toBe(1);
    second[Symbol.dispose]();
    expect(pulses.size).toBe(0);
  });
});

it('goes on in the command line from its start, whatever it is asked for', async () => {
  const count = `
    import { syncBuiltinESMExports } from 'node:module';
    import timers from 'node:timers';
    const { setInterval } = timers;
    let begun = 0;
    timers.setInterval = (...given) => {
      begun++;
      return setInterval(...given);
    };
    syncBuiltinESMExports();
    process.on('exit', () => console.error('begun: ' + begun));`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(count)}` };
  expect(await runCli(['--version'], { env })).toMatchObject({ code: 0, stderr: 'begun: 1\n' });
});

describe('a call', () => {
  it.each<[string, (path: string) => Promise<unknown>]>([
    ['openCheckpoint', (path) => openCheckpoint(path)],
    ['verify', (path) => verify(path)],
    ['openMergeFile', (path) => openMergeFile(path)],
    ['openImageSet', (images) => openImageSet({ images })],
    ['readImageTransform', (path) => readImageTransform(path)],
    ['writeReport', (path) => writeReport(path)],
    ['diff', (path) => diff(path, path)],
    ['planMerge', (path) => planMerge({ zeroshot: path, finetuned: path, alpha: 0.5, out: `${path}-out` })],
    ['merge', (path) => merge({ zeroshot: path, finetuned: path, alpha: 0.5, out: `${path}-out` })],
    ['mergeFile', (config) => mergeFile({ config, out: `${config}-out` })],
  ])('of %s has it until it is over, and no longer', async (_name, call) => {
    const done = call(join(await tempDir(), 'absent'));
    expect(pulses.size).toBe(1);
    await expect(done).rejects.toThrow('absent');
    // Of two files that it opens at once, the other may still be under way.
    await vi.waitFor(() => expect(pulses.size).toBe(0));
  });
});
