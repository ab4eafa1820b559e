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
  openCheckpoint,
  openLoraAdapter,
  openMergeFile,
  pick,
  pickRecords,
  planMerge,
  planMergeFile,
  planMoe,
  soup,
  sweep,
  verify,
  watchSweep,
  writeReport,
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
  pick: (options: Parameters<typeof pick>[1] | null) => pick('a', options ?? (null as never)),
  pickRecords: (options: Parameters<typeof pickRecords>[1]) => pickRecords('a.csv', options),
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

  it.each([
    ['openCheckpoint', openCheckpoint as never as (...args: unknown[]) => Promise<unknown>],
    [
      'openLoraAdapter',
      ((path: string, options: object) => openLoraAdapter(path, new Map(), options)) as never,
    ],
  ] as [string, (...args: unknown[]) => Promise<unknown>][])(
    '%s refuses an option that it does not have',
    async (_name, call) => {
      const { zeroshot } = await makePair();
      await expect(call(zeroshot, { sginal: 1 })).rejects.toMatchObject({
        code: 'ERR_USAGE',
        details: { option: 'sginal' },
      });
    },
  );

  it('planMergeFile refuses an estimate that is neither true nor false', async () => {
    const plan = planMergeFile as unknown as (options: object) => Promise<unknown>;
    await expect(plan({ config: 'absent.yml', estimate: 'no' })).rejects.toMatchObject({
      code: 'ERR_USAGE',
      details: { option: 'estimate' },
    });
  });

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

const sets = [{ name: 'val', role: 'select', kind: 'id' }];
const models = { zeroshot: 'a', finetuned: 'b' };
const train = { samples: 2, dimension: 3, featureDtype: 'F32', labels: [0, 1], readFeatures: async () => {} };

/** A call that lacks an option or has one of another type, and the option that is to be named. */
const wrong: readonly [string, string, (...args: never[]) => Promise<unknown>, ...unknown[]][] = [
  ['sweep without out', 'out', sweep, { ...models, sets }],
  ['sweep with a number to evaluate', 'evaluate', sweep, { ...models, sets, out: 'o', evaluate: 5 }],
  ['sweep with a text for force', 'force', sweep, { ...models, sets, out: 'o', force: 'yes' }],
  ['soup without out', 'out', soup, { models: ['a', 'b'], sets }],
  ['pick of a number', 'directory', pick, 5],
  ['pick by a number', 'rule', pick, 'a', { rule: 5 }],
  ['pick with an unknown option', 'rulee', pick, 'a', { rulee: 'knee' }],
  ['a report of nothing', 'directory', writeReport, undefined],
  ['pickRecords of a number', 'path', pickRecords, 5, { sets }],
  ['pickRecords without sets', 'sets', pickRecords, 'r.csv', {}],
  ['pickRecords of no role', 'sets', pickRecords, 'r.csv', { sets: [{ ...sets[0], role: 'selec' }] }],
  ['pickRecords of no name', 'sets', pickRecords, 'r.csv', { sets: [{ role: 'select', kind: 'id' }] }],
  ['a head without out', 'out', makeZeroshotHead, { model: 'a', classNames: ['x'] }],
  ['a head of a number', 'model', makeZeroshotHead, { model: 5, classNames: ['x'], out: 'o' }],
  ['finetune with numpy dtypes', 'train', finetune, finetuning({ featureDtype: 'float32' })],
  ['finetune in F64', 'train', finetune, finetuning({ featureDtype: 'F64' })],
  ['finetune without labels', 'train', finetune, finetuning({ labels: undefined })],
  ['finetune without samples', 'train', finetune, finetuning({ samples: 1.5 })],
  ['finetune that cannot read', 'train', finetune, finetuning({ readFeatures: 5 })],
  ['a watch until -1', 'until', watch, { zeroshot: 'a', sets, watch: 'w', out: 'o', until: -1 }],
  ['a watch at a word', 'interval', watch, { zeroshot: 'a', sets, watch: 'w', out: 'o', interval: 'a' }],
  ['a watch of nothing', 'watch', watch, { zeroshot: 'a', sets, out: 'o' }],
  ['a watch without out', 'out', watch, { zeroshot: 'a', sets, watch: 'w' }],
  ['a watch with an end', 'finetuned', watch, { ...models, sets, watch: 'w', out: 'o' }],
];

function finetuning(change: object): object {
  return { zeroshot: 'a', out: 'o', train: { ...train, ...change } };
}

function watch(options: Parameters<typeof watchSweep>[0]): Promise<unknown> {
  return watchSweep(options).next();
}

describe('options of the wrong type are refused by name', () => {
  it.each(wrong)('%s', async (_what, option, call, ...args) => {
    await expect(call(...(args as never[]))).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: expect.stringMatching(`^${option}: `),
      details: { option },
    });
  });
});

it('says what to give in place of a URL', async () => {
  const url = new URL('models', import.meta.url);
  const expected = { code: 'ERR_USAGE', hint: expect.stringContaining('fileURLToPath') };
  await expect(openCheckpoint(url as never)).rejects.toMatchObject(expected);
  await expect(diff(url as never, 'x')).rejects.toMatchObject(expected);
  const options = { zeroshot: url as never, finetuned: 'x', alpha: 0.5, out: 'out' };
  await expect(merge(options)).rejects.toMatchObject({ ...expected, details: { option: 'zeroshot' } });
});
