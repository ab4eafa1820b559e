import { describe, expect, it } from 'vitest';
import {
  assembleMoe,
  diff,
  extractLora,
  finetune,
  forward,
  makeZeroshotHead,
  merge,
  mergeFile,
  planMerge,
  planMergeFile,
  planMoe,
  soup,
  sweep,
  watchSweep,
} from '../lib/index.js';
import { makePair } from './support/pair.js';

// Callers without types may pass anything.
type Call = (options?: unknown) => Promise<unknown>;
const calls: readonly [string, Call][] = Object.entries({
  merge,
  planMerge,
  mergeFile,
  planMergeFile,
  sweep,
  soup,
  forward,
  finetune,
  makeZeroshotHead,
  extractLora,
  assembleMoe,
  planMoe,
  watchSweep: (options: Parameters<typeof watchSweep>[0]) => watchSweep(options).next(),
  diff: (options: Parameters<typeof diff>[2] | null) => diff('a', 'b', options ?? (null as never)),
}) as unknown as [string, Call][];

describe.each(calls)('%s', (_name, call) => {
  it.each([undefined, null, 3, 'models/base', []])('refuses %j as its options', async (options) => {
    await expect(call(options)).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: expect.stringContaining('options'),
      hint: expect.any(String),
    });
  });

  it('refuses a signal, a listener and a path of another kind, naming the option', async () => {
    const wrong = { signal: {}, onProgress: 'console.log', out: 'o\0x' };
    for (const [option, value] of Object.entries(wrong)) {
      await expect(call({ [option]: value })).rejects.toMatchObject({
        code: 'ERR_USAGE',
        message: expect.stringMatching(`^${option}: `),
        details: { option },
      });
    }
  });

  it("rejects with an aborted signal's reason", async () => {
    const reason = new Error('enough');
    await expect(call({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('calls with paths', () => {
  it('refuse a signal that is none and a path with NUL', async () => {
    const { zeroshot, finetuned } = await makePair();
    const compare = diff as unknown as (...args: unknown[]) => Promise<unknown>;
    await expect(compare(zeroshot, finetuned, { signal: {} })).rejects.toMatchObject({ code: 'ERR_USAGE' });
    for (const path of ['x\0y', undefined, 3, '']) {
      await expect(compare(zeroshot, path)).rejects.toMatchObject({ code: 'ERR_USAGE' });
    }
  });
});
