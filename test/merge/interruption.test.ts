// A merge that stops half-way, for whatever reason, leaves nothing behind but its reason.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ProgressMeter } from '../../lib/checkpoint/progress.js';
import { type MergeOptions, merge, type Progress, type RunOptions } from '../../lib/index.js';
import { hostBufferBytes } from '../../lib/native.js';
import { besideInputs, makePair, type Pair } from '../support/pair.js';
import { tempDir } from '../support/temp.js';

/** Several ranges at a small memory budget. */
const elements = 6_000_000;
const memory = 4 * 2 ** 20;

const run = ({ zeroshot, finetuned, out }: Pair, options: Partial<MergeOptions> & RunOptions = {}) =>
  merge({ zeroshot, finetuned, alpha: 0.5, out, memory, ...options });

/** Calls `action` once, when the first range has been written and others are under way. Reports come too seldom
 * for that: at ten a second, a small merge has none between its start and its end. */
function midway(action: () => void): void {
  const add = vi.spyOn(ProgressMeter.prototype, 'add');
  let moved = 0;
  onTestFinished(() => {
    add.mockRestore();
    // Of three times as many, or more where there are many alphas.
    expect(moved).toBeGreaterThan(0);
    expect(moved).toBeLessThan(2 * elements * 4);
  });
  add.mockImplementationOnce((bytes) => {
    moved = bytes;
    action();
  });
}

/** Fails unless the merge left neither files nor native memory. */
async function expectNothingLeft(pair: Pair, merging: () => Promise<unknown>, error: object): Promise<void> {
  const before = hostBufferBytes();
  await expect(merging()).rejects.toMatchObject(error);
  expect(besideInputs(pair.root)).toEqual([]);
  expect(hostBufferBytes()).toBe(before);
}

describe('an abort', () => {
  it('before the start rejects with its reason and does nothing', async () => {
    const pair = await makePair();
    const reason = new Error('changed my mind');
    await expect(run(pair, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(besideInputs(pair.root)).toEqual([]);
  });

  it('between plan and data rejects with its reason', async () => {
    const pair = await makePair();
    const controller = new AbortController();
    const reason = new Error('the plan will not do');
    await expect(
      run(pair, { signal: controller.signal, onPlan: () => controller.abort(reason) }),
    ).rejects.toBe(reason);
    expect(besideInputs(pair.root)).toEqual([]);
  });

  it('half-way rejects with its reason and leaves nothing behind', async () => {
    const pair = await makePair(elements);
    const controller = new AbortController();
    const reason = { name: 'my own reason' };
    midway(() => controller.abort(reason));
    await expectNothingLeft(pair, () => run(pair, { signal: controller.signal }), reason);
  });

  it('half-way through many alphas leaves nothing behind', async () => {
    const pair = await makePair(elements);
    const controller = new AbortController();
    const alpha = Array.from({ length: 9 }, (_, i) => i / 8);
    midway(() => controller.abort());
    const options = { alpha, memory: 2 ** 23, signal: controller.signal };
    await expectNothingLeft(pair, () => run(pair, options), { name: 'AbortError' });
  });

  it('at the last moment leaves a whole output or none', async () => {
    const pair = await makePair();
    const controller = new AbortController();
    const onProgress = ({ phase }: Progress): void => {
      if (phase === 'finish') controller.abort();
    };
    await expect(run(pair, { signal: controller.signal, onProgress })).rejects.toMatchObject({
      name: 'AbortError',
    });
    expect(besideInputs(pair.root)).toEqual([]);
  });

  it('of a timeout rejects with the timeout', async () => {
    const pair = await makePair(elements);
    const controller = new AbortController();
    midway(() => controller.abort(new DOMException('too slow', 'TimeoutError')));
    await expectNothingLeft(pair, () => run(pair, { signal: controller.signal }), { name: 'TimeoutError' });
  });
});

describe('an error of a listener', () => {
  it('stops the merge and comes out unchanged', async () => {
    const pair = await makePair(elements);
    const error = new RangeError('mine');
    const onProgress = ({ phase, bytesDone }: Progress): void => {
      if (phase === 'stream' && bytesDone > 0) throw error;
    };
    await expectNothingLeft(pair, () => run(pair, { onProgress }), error);
  });
});

describe('an input that changes during a merge is an error:', () => {
  const weights = ({ finetuned }: Pair): string => join(finetuned, 'model.safetensors');

  it('cut off between plan and data', async () => {
    const pair = await makePair(elements);
    const onPlan = () => truncateSync(weights(pair), 4_000_000);
    await expectNothingLeft(pair, () => run(pair, { onPlan }), {
      code: 'ERR_INPUT_CHANGED',
      file: weights(pair),
    });
  });

  it('cut off while it is read', async () => {
    for (const readMode of ['direct', 'cached'] as const) {
      const pair = await makePair(elements);
      midway(() => truncateSync(weights(pair), 5_000_001));
      await expectNothingLeft(pair, () => run(pair, { readMode }), {
        code: 'ERR_INPUT_CHANGED',
        file: weights(pair),
      });
    }
  });

  it('longer', async () => {
    const pair = await makePair(elements);
    midway(() => appendFileSync(weights(pair), 'x'));
    await expectNothingLeft(pair, () => run(pair), { code: 'ERR_INPUT_CHANGED' });
  });

  it('written to in place, with the same size', async () => {
    const pair = await makePair(elements);
    const { atimeMs, mtimeMs } = statSync(weights(pair));
    midway(() => utimesSync(weights(pair), atimeMs / 1000, mtimeMs / 1000 + 1));
    await expectNothingLeft(pair, () => run(pair), { code: 'ERR_INPUT_CHANGED' });
  });

  it('removed', async () => {
    const pair = await makePair(elements);
    await expectNothingLeft(pair, () => run(pair, { onPlan: () => rmSync(weights(pair)) }), {
      code: 'ERR_IO',
      file: weights(pair),
    });
  });
});

describe('a full disk', () => {
  /** A file system of 48 MiB, where this process may mount one. */
  async function smallDisk(): Promise<string | undefined> {
    const directory = join(await tempDir(), 'disk');
    mkdirSync(directory);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', directory], { stdio: 'ignore' });
    } catch {
      return undefined;
    }
    onTestFinished(() => void execFileSync('umount', ['-l', directory]));
    return directory;
  }

  it('is noticed before anything is written', async ({ skip }) => {
    const disk = await smallDisk();
    if (disk === undefined) return skip('mounting a small file system takes root');
    const pair = await makePair(elements);
    const out = join(disk, 'out');
    await expect(run(pair, { alpha: [0.1, 0.2, 0.3, 0.4], out })).rejects.toMatchObject({
      code: 'ERR_NO_SPACE',
    });
    expect(besideInputs(disk)).toEqual([]);
  });

  it('that fills up after the plan is an error that leaves nothing behind', async ({ skip }) => {
    const disk = await smallDisk();
    if (disk === undefined) return skip('mounting a small file system takes root');
    const pair = await makePair(elements);
    const onPlan = () => writeFileSync(join(disk, 'other'), Buffer.alloc(40e6));
    const out = join(disk, 'out');
    await expect(run(pair, { out, onPlan })).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    expect(besideInputs(disk)).toEqual(['other']);
  });

  it('that fills up half-way does not matter: the space is reserved', async ({ skip }) => {
    const disk = await smallDisk();
    if (disk === undefined) return skip('mounting a small file system takes root');
    const pair = await makePair(elements);
    midway(() => {
      try {
        writeFileSync(join(disk, 'other'), Buffer.alloc(24e6));
      } catch {
        // It got less than it wanted.
      }
    });
    await run(pair, { out: join(disk, 'out') });
    expect(besideInputs(disk)).toEqual(['other', 'out']);
  });
});

describe('a killed run', () => {
  it('leaves only its temporary directory, which the next run names and clears', async () => {
    const pair = await makePair(elements);
    const library = pathToFileURL(join(process.cwd(), 'dist', 'index.js')).href;
    const script = `
      import { merge } from ${JSON.stringify(library)};
      const [, zeroshot, finetuned, out] = process.argv;
      const onProgress = ({ bytesDone }) => bytesDone > 0 && process.kill(process.pid, 'SIGKILL');
      await merge({ zeroshot, finetuned, out, alpha: 0.5, memory: ${memory}, onProgress });`;
    const args = ['--input-type=module', '-e', script, pair.zeroshot, pair.finetuned, pair.out];
    const { signal, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(signal, stderr).toBe('SIGKILL');
    expect(besideInputs(pair.root)).toEqual(['.out.wisemerge-tmp']);
    const { warnings } = await run(pair);
    expect(warnings).toEqual([
      `removed ${join(pair.root, '.out.wisemerge-tmp')}, left by a run that was killed`,
    ]);
    expect(besideInputs(pair.root)).toEqual(['out']);
  });
});
