import { getEventListeners } from 'node:events';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { diff, merge } from '../../lib/index.js';
import { onAbort } from '../../lib/on-abort.js';
import { makePair } from '../support/pair.js';

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

it('calls back once per call that waits, and for none that has ended', () => {
  const controller = new AbortController();
  const { signal } = controller;
  const calls: string[] = [];
  const note = () => calls.push('twice');
  onAbort(signal, note);
  onAbort(signal, note);
  const ended = onAbort(signal, () => calls.push('ended'));
  ended();
  ended();
  expect(listeners(signal)).toBe(1);
  controller.abort();
  expect(calls).toEqual(['twice', 'twice']);
});

it('listens only while somebody waits', () => {
  const { signal } = new AbortController();
  const first = onAbort(signal, () => {});
  const second = onAbort(signal, () => {});
  first();
  expect(listeners(signal)).toBe(1);
  second();
  expect(listeners(signal)).toBe(0);
  onAbort(signal, () => {})();
  expect(listeners(signal)).toBe(0);
  onAbort(undefined, () => {})();
});

it('has one listener at a signal, for any number of calls', async () => {
  const warned = vi.fn();
  process.on('warning', warned);
  onTestFinished(() => {
    process.off('warning', warned);
  });
  const controller = new AbortController();
  const { signal } = controller;
  const most: number[] = [];
  const { addEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    addEventListener.apply(signal, args);
    most.push(listeners(signal));
  };
  const { zeroshot, finetuned, root } = await makePair();
  const runs = Array.from({ length: 12 }, (_, i) => [
    merge({ zeroshot, finetuned, alpha: 0.5, out: join(root, `out-${i}`), signal }),
    diff(zeroshot, finetuned, { signal }),
  ]);
  await Promise.all(runs.flat());
  expect(Math.max(...most)).toBe(1);
  expect(listeners(signal)).toBe(0);
  expect(warned).not.toHaveBeenCalled();
});

it('stops every call of a signal', async () => {
  const controller = new AbortController();
  const { zeroshot, finetuned, root } = await makePair();
  const runs = Array.from({ length: 3 }, (_, i) =>
    merge({
      ...{ zeroshot, finetuned, alpha: 0.5, out: join(root, `out-${i}`) },
      signal: controller.signal,
      onProgress: ({ phase }) => phase === 'stream' && controller.abort(new Error('enough')),
    }),
  );
  for (const result of await Promise.allSettled(runs)) {
    expect(result).toMatchObject({ status: 'rejected', reason: controller.signal.reason });
  }
});
