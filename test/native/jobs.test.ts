import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dtypeByName, Engine, HostBuffer } from '../../lib/native.js';

const F32 = dtypeByName('F32')!.index;
const count = 2 ** 20;

let arena: HostBuffer;
let engine: Engine;

beforeAll(() => {
  arena = new HostBuffer(8 * count);
  engine = new Engine({ threads: 1 });
});

afterAll(() => {
  engine.close();
  arena.release();
});

/** A job far longer than any test: the same 8 MiB compared 100 000 times. Only ever aborted. */
const endless = Float64Array.from({ length: 5 * 100_000 }, (_, i) => [F32, F32, count, 0, 4 * count][i % 5]!);
const short = Float64Array.of(F32, F32, 1, 0, 4);

it('leaves the event loop and the file system alone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wisemerge-jobs-'));
  const file = join(folder, 'file');
  await writeFile(file, 'content');
  const controller = new AbortController();
  let settled = false;
  const jobs = Array.from({ length: 6 }, () =>
    engine.compare(arena, endless, controller.signal).finally(() => {
      settled = true;
    }),
  );
  // More jobs than libuv has threads. All of this must get through while they run.
  for (let i = 0; i < 20; i++) {
    expect(await readFile(file, 'utf8')).toBe('content');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(settled).toBe(false);
  controller.abort();
  const outcomes = await Promise.allSettled(jobs);
  expect(outcomes.every((outcome) => outcome.status === 'rejected')).toBe(true);
  await rm(folder, { recursive: true });
});

it('stops within a chunk of an abort, with the reason given', async () => {
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  const job = engine.compare(arena, endless, controller.signal);
  const outcome = job.catch((error: unknown) => error);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const aborted = performance.now();
  controller.abort(reason);
  expect(await outcome).toBe(reason);
  expect(performance.now() - aborted).toBeLessThan(2000);
});

it('understands AbortSignal.timeout', async () => {
  const job = engine.compare(arena, endless, AbortSignal.timeout(20));
  await expect(job).rejects.toMatchObject({ name: 'TimeoutError' });
});

it('does not start under a signal already aborted', async () => {
  await expect(engine.compare(arena, endless, AbortSignal.abort())).rejects.toMatchObject({
    name: 'AbortError',
  });
});

it('lets a queued job go at once, while another runs', async () => {
  const running = new AbortController();
  const queued = new AbortController();
  const first = engine.compare(arena, endless, running.signal).catch(() => 'first');
  const second = engine.compare(arena, endless, queued.signal).catch(() => 'second');
  queued.abort();
  expect(await Promise.race([first, second])).toBe('second');
  running.abort();
  expect(await first).toBe('first');
});

it('goes on after aborted jobs, in order', async () => {
  const order: number[] = [];
  const record = (id: number) => () => order.push(id);
  await Promise.all([1, 2, 3, 4].map((id) => engine.compare(arena, short).then(record(id))));
  expect(order).toEqual([1, 2, 3, 4]);
});

it('leaves no listener on the signal', async () => {
  const controller = new AbortController();
  let listeners = 0;
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  await engine.compare(arena, short, signal);
  await engine.compare(arena, Float64Array.of(1), signal).catch(() => {});
  expect(listeners).toBe(0);
});

it('a later abort does not disturb a job that is done', async () => {
  const controller = new AbortController();
  await engine.compare(arena, short, controller.signal);
  controller.abort();
  await expect(engine.compare(arena, short)).resolves.toHaveLength(10);
});
