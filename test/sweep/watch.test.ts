import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors.js';
import { readResult } from '../../lib/sweep/result.js';
import { type WatchedCheckpoint, watchSweep } from '../../lib/sweep/watch.js';
import { tempDir } from '../support/temp.js';

const bytes = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

async function save(path: string, value: number): Promise<void> {
  await mkdir(path, { recursive: true });
  await writeSafetensors(join(path, 'model.safetensors'), [
    { name: 'w', dtype: 'F32', shape: [1], data: bytes(value) },
  ]);
}

/** A model scores by how near its only weight is to 1. */
async function project() {
  const directory = await tempDir();
  const runs = join(directory, 'runs');
  await save(join(directory, 'zeroshot'), 0);
  await mkdir(runs);
  const options = {
    zeroshot: join(directory, 'zeroshot'),
    watch: runs,
    interval: 0.05,
    out: join(directory, 'out'),
    alphas: '0:1:0.25',
    replicates: 10,
    sets: [{ name: 'id', role: 'select' as const, kind: 'id' as const }],
    evaluate: async ({ readTensor }: { readTensor(name: string): Promise<Uint8Array> }) => {
      const [w] = new Float32Array((await readTensor('w')).slice().buffer);
      return { id: 1 - Math.min(1, Math.abs(w! - 1)) };
    },
  };
  return { directory, runs, options };
}

test('alpha is chosen for each checkpoint as it appears, whole ones only', async () => {
  const { directory, runs, options } = await project();
  await save(join(runs, 'epoch_10'), 4);
  await save(join(runs, 'epoch_9'), 2);
  await writeFile(join(runs, 'log.txt'), 'loss 0.3');
  await mkdir(join(runs, 'epoch_11'));
  await writeFile(join(runs, 'epoch_11', 'model.safetensors'), 'not whole');
  const found: WatchedCheckpoint[] = [];
  for await (const one of watchSweep({ ...options, until: 4 })) {
    found.push(one);
    if (found.length === 2) {
      // Training goes on while alpha is chosen.
      await save(join(directory, 'epoch_12'), 1.1);
      await rename(join(directory, 'epoch_12'), join(runs, 'epoch_12'));
    }
    if (found.length === 3) {
      await rm(join(runs, 'epoch_11', 'model.safetensors'));
      await save(join(runs, 'epoch_11'), 1);
    }
  }
  expect(found.map(({ checkpoint, alpha }) => [checkpoint, alpha])).toEqual([
    ['epoch_9', 0.5],
    ['epoch_10', 0.25],
    ['epoch_12', 1],
    ['epoch_11', 1],
  ]);
  expect(found.map(({ best }) => best)).toEqual([true, false, false, false]);
  expect(found[2]!.accuracy.id).toBeCloseTo(0.9, 6);
  const lines = (await readFile(join(options.out, 'watch.jsonl'), 'utf8')).trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toEqual(found);
  expect((await readResult(found[1]!.out)).analysis.selection.alpha).toBe(0.25);
});

test('by the knee, the best checkpoint is that of the highest accuracy, not of the sharpest corner', async () => {
  const { runs, options } = await project();
  await save(join(runs, 'a'), 1);
  await save(join(runs, 'b'), 10);
  // ID and shift, by weight: b's middle lies nearer its own chord, and above a's.
  const scores: Readonly<Record<number, readonly [number, number]>> = {
    ...{ 0: [0.5, 0.6], 0.5: [0.58, 0.59], 1: [0.6, 0.5], 5: [0.72, 0.56], 10: [0.9, 0.4] },
  };
  const sets = (['id', 'shift'] as const).map((kind) => ({ name: kind, role: 'select' as const, kind }));
  const found: WatchedCheckpoint[] = [];
  for await (const one of watchSweep({
    ...{ ...options, sets, alphas: '0:1:0.5', rule: 'knee', until: 2 },
    evaluate: async ({ readTensor }) => {
      const [id, shift] = scores[new Float32Array((await readTensor('w')).slice().buffer)[0]!]!;
      return { id, shift };
    },
  })) {
    found.push(one);
  }
  expect(found.map(({ checkpoint, alpha, best }) => [checkpoint, alpha, best])).toEqual([
    ['a', 0.5, true],
    ['b', 0.5, true],
  ]);
  expect(found.map(({ score }) => score)).toEqual([expect.closeTo(0.585, 12), expect.closeTo(0.64, 12)]);
});

test('finished sweeps are not done again, and waiting ends when aborted', async () => {
  const { runs, options } = await project();
  await save(join(runs, 'a'), 2);
  for await (const { alpha } of watchSweep({ ...options, until: 1 })) expect(alpha).toBe(0.5);
  const stop = new AbortController();
  const again = watchSweep({
    ...options,
    signal: stop.signal,
    evaluate: () => Promise.reject(new Error('evaluated again')),
  });
  expect((await again.next()).value).toMatchObject({ checkpoint: 'a', alpha: 0.5 });
  const next = again.next();
  setTimeout(() => stop.abort(new Error('enough')), 100);
  await expect(next).rejects.toThrow('enough');
});

test('a directory that is not there is an error', async () => {
  const { directory, options } = await project();
  const watching = watchSweep({ ...options, watch: join(directory, 'nowhere') });
  await expect(watching.next()).rejects.toMatchObject({ code: 'ERR_IO' });
});

test('other options than a checkpoint was begun with are an error whose hint watching can follow', async () => {
  const { runs, options } = await project();
  await save(join(runs, 'epoch_1'), 2);
  const watchOnce = async (alphas: string) => {
    for await (const _ of watchSweep({ ...options, alphas, until: 1 }));
  };
  await watchOnce('0:1:0.5');
  const out = join(options.out, 'epoch_1');
  await expect(watchOnce('0:1:0.25')).rejects.toMatchObject({
    code: 'ERR_SWEEP_CHANGED',
    hint: `Use the options it was begun with, give another output directory (--out), or delete ${out} to start it again.`,
  });
  await writeFile(join(out, 'journal.jsonl'), '{\n');
  await expect(watchOnce('0:1:0.5')).rejects.toMatchObject({
    code: 'ERR_SWEEP_RESULT',
    hint: expect.not.stringContaining('--force'),
  });
});

test('a directory that has the name of the log of a watch is an error, and stays as it is', async () => {
  const { options } = await project();
  const log = join(options.out, 'watch.jsonl');
  await mkdir(log, { recursive: true });
  await writeFile(join(log, 'mine.txt'), 'mine');
  await expect(watchSweep(options).next()).rejects.toMatchObject({ code: 'ERR_IO', file: log });
  expect(await readFile(join(log, 'mine.txt'), 'utf8')).toBe('mine');
});
