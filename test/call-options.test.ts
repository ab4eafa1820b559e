import { describe, expect, it } from 'vitest';
import {
  assembleMoe,
  diff,
  explainMerge,
  extractLora,
  finetune,
  forward,
  makeZeroshotHead,
  merge,
  mergeFile,
  openLoraAdapter,
  openMergeFile,
  planMerge,
  planMergeFile,
  planMoe,
  soup,
  sweep,
  verify,
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

describe('calls of a path alone', () => {
  const untyped = { verify, openMergeFile } as unknown as Record<
    string,
    (...args: unknown[]) => Promise<unknown>
  >;

  it.each(Object.entries(untyped))(
    '%s refuses what is no path and what is no option',
    async (_name, call) => {
      for (const path of [undefined, 5, '', 'x\0y']) {
        await expect(call(path)).rejects.toMatchObject({ code: 'ERR_USAGE', details: { option: 'path' } });
      }
      const wrong = { signal: 5, onProgress: 'log', onProgres: () => {}, cach: 1 };
      for (const [option, value] of Object.entries(wrong)) {
        await expect(call('absent', { [option]: value })).rejects.toMatchObject({
          code: 'ERR_USAGE',
          message: expect.stringMatching(`^${option}: `),
          hint: expect.any(String),
          details: { option },
        });
      }
      await expect(call('absent', null)).rejects.toMatchObject({ code: 'ERR_USAGE' });
    },
  );

  it('openMergeFile refuses a cache that is no path', async () => {
    await expect(untyped.openMergeFile!('absent', { cache: 1 })).rejects.toMatchObject({
      code: 'ERR_USAGE',
      details: { option: 'cache' },
    });
  });

  it('explainMerge and openLoraAdapter say what they are missing', async () => {
    for (const given of [undefined, null, 5, {}, { merge: {} }, []]) {
      expect(() => explainMerge(given as never)).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
    }
    await expect(openLoraAdapter('absent', undefined as never)).rejects.toMatchObject({
      code: 'ERR_USAGE',
      hint: expect.stringContaining('openCheckpoint'),
    });
  });
});
