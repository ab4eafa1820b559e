import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { windowsOf } from '../../../lib/eval/text/perplexity.js';
import { sequenceLosses } from '../../../lib/eval/text/sequence-losses.js';
import { TextEvaluator } from '../../../lib/eval/text/text-evaluator.js';
import type { TextSource } from '../../../lib/eval/text/text-set.js';
import { batchesByLength, tokenRows } from '../../../lib/eval/text/token-batches.js';
import { fixture, whole } from '../../support/networks.js';
import { tempDir } from '../../support/temp.js';
import { llamaTokenizer, withTokenizer } from '../../support/tokenizers.js';

const base = 'llama-tiny/base';
const tuned = fixture('llama-tiny/a');
const set = { name: 'val', role: 'select', kind: 'id' } as const;

/** -log p(token | context) at alpha in f64, from the logits of the context alone. */
async function lossOf(model: NetworkModel, context: readonly number[], token: number, alpha: number) {
  const [outputs] = await model.forward(new Map([['input_ids', whole([1, context.length], context)]]), [
    alpha,
  ]);
  const { data, shape } = outputs!.get('logits')!;
  const last = Array.from(data.slice(-shape[2]!));
  const top = Math.max(...last);
  return Math.log(last.reduce((sum, z) => sum + Math.exp(z - top), 0)) + top - last[token]!;
}

/** The file in a directory of its own. */
async function written(name: string, text: string): Promise<string> {
  const path = join(await tempDir(), name);
  writeFileSync(path, text);
  return path;
}

const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

async function evaluate(
  source: Omit<TextSource, keyof typeof set>,
  alphas: readonly number[],
  model?: string,
) {
  const zeroshot = model ?? (await withTokenizer(base, llamaTokenizer()));
  const evaluator = await TextEvaluator.open({ zeroshot, finetuned: tuned, sets: [{ ...set, ...source }] });
  try {
    const results = (await evaluator.evaluate(alphas)).map(([result]) => result!);
    return { results, set: evaluator.sets[0]!, identity: evaluator.identity, batch: evaluator.batch };
  } finally {
    await evaluator.close();
  }
}

/** The tokens of `llamaTokenizer` for texts without pairs: one per letter. */
const plain = (text: string) => [
  1,
  ...Array.from(text, (c) => (c === ' ' ? 29 : c === '.' ? 30 : c.charCodeAt(0) - 94)),
];

describe('sliding windows', () => {
  test('every token but the first is scored once, with as much before it as fits', () => {
    const sizes = fc.record({
      length: fc.integer({ min: 0, max: 60 }),
      context: fc.integer({ min: 2, max: 20 }),
      stride: fc.integer({ min: 1, max: 19 }),
    });
    fc.assert(
      fc.property(sizes, ({ length, context, stride }) => {
        fc.pre(stride < context);
        const ids = Int32Array.from({ length }, (_, i) => i);
        const windows = windowsOf(ids, context, stride);
        const scored = windows.flatMap((window) => Array.from(window.ids.subarray(window.from)));
        expect(scored).toEqual(Array.from(ids.subarray(1)));
        for (const [i, window] of windows.entries()) {
          expect(window.ids).toHaveLength(Math.min(length, context));
          expect(window.from).toBeGreaterThanOrEqual(i === 0 ? 1 : context - stride);
          expect(window.ids.length - window.from).toBeLessThanOrEqual(i === 0 ? context - 1 : stride);
        }
      }),
    );
  });
});

describe('batches of tokens', () => {
  test('hold every sequence once, little padding, and no more tokens than asked', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 200 }), fc.boolean(), (all, tokens, same) => {
        const batches = batchesByLength(all, tokens, same);
        expect(batches.flat().sort((a, b) => a - b)).toEqual([...all.keys()]);
        for (const batch of batches) {
          const own = batch.map((i) => all[i]!);
          const longest = Math.max(...own);
          expect(batch.length === 1 || batch.length * longest <= tokens).toBe(true);
          expect(Math.min(...own)).toBeGreaterThanOrEqual(same ? longest : 0.8 * longest);
        }
      }),
    );
  });

  test('are filled up on the right', () => {
    const numbers = ({ data }: { data: Uint8Array }) => Array.from(new Int32Array(data.buffer));
    const rows = tokenRows([[1, 2, 3], [4], []]);
    expect(rows).toMatchObject({ dtype: 'I32', shape: [3, 3] });
    expect(numbers(rows)).toEqual([1, 2, 3, 4, 4, 4, 0, 0, 0]);
    expect(numbers(tokenRows([[4], [5, 6]], -1))).toEqual([4, -1, 5, 6]);
  });
});

describe('losses of sequences', () => {
  const sequences = [9, 3, 30, 8, 2, 31, 7]
    .map((length, s) => ({
      ids: Int32Array.from({ length }, (_, t) => (7 * t + 13 * s + t * t) % 160),
      from: 1 + (s % 2),
    }))
    .filter(({ ids, from }) => from < ids.length);

  test('are those of the logits, and the same bits whatever runs beside them', async () => {
    await using model = await NetworkModel.open(fixture(base), tuned);
    const together = await sequenceLosses(model, sequences, [0, 0.3, 1]);
    for (const [s, sequence] of sequences.entries()) {
      const alone = await sequenceLosses(model, [sequence], [0.3]);
      expect(alone[0]![0]).toBe(together[1]![s]);
      let sum = 0;
      const ids = Array.from(sequence.ids);
      for (let t = sequence.from; t < ids.length; t++) {
        sum += await lossOf(model, ids.slice(0, t), ids[t]!, 0.3);
      }
      expect(Math.abs(alone[0]![0]! / sum - 1)).toBeLessThan(1e-6);
    }
    await using narrow = await NetworkModel.open(fixture(base), tuned, { batchTokens: 1, threads: 1 });
    expect(await sequenceLosses(narrow, sequences, [0, 0.3, 1])).toEqual(together);
  });

  test('lengths beyond the trained one do not mix where the angles depend on them', async () => {
    const model = await withTokenizer('llama-tiny/a', llamaTokenizer());
    const { default: config } = await import(`${fixture('llama-tiny/a')}/config.json`, {
      with: { type: 'json' },
    });
    const rope = { rope_theta: 10000, rope_type: 'dynamic', factor: 2 };
    const dynamic = { ...config, max_position_embeddings: 8, rope_parameters: rope };
    writeFileSync(join(model, 'config.json'), JSON.stringify(dynamic));
    await using network = await NetworkModel.open(model);
    const together = await sequenceLosses(network, sequences, [0]);
    for (const [s, sequence] of sequences.entries()) {
      expect((await sequenceLosses(network, [sequence], [0]))[0]![0]).toBe(together[0]![s]);
    }
  });

  test('only decoders have them', async () => {
    await using model = await NetworkModel.open(fixture('clip-tiny/zeroshot'));
    await expect(sequenceLosses(model, sequences, [0])).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });
});

describe('perplexity', () => {
  const documents = ['cub mum', 'x', 'zzz bcd. klm pqr uvw', ''];
  let oracle: (context: number, stride: number, alpha: number) => Promise<number>;
  beforeAll(() => {
    // Each token by itself: its window ends at the first of context, context + stride, …, the end of the text.
    oracle = async (context, stride, alpha) => {
      await using model = await NetworkModel.open(fixture(base), tuned);
      let [sum, tokens] = [0, 0];
      for (const ids of documents.map(plain)) {
        for (let t = 1; t < ids.length; t++) {
          let end = context;
          while (end < t + 1) end += stride;
          const begin = Math.max(0, Math.min(end, ids.length) - context);
          sum += await lossOf(model, ids.slice(begin, t), ids[t]!, alpha);
          tokens++;
        }
      }
      return sum / tokens;
    };
  });

  test('is that of every token recomputed by itself', async () => {
    const text = await written('docs.jsonl', lines(documents.map((text) => ({ text }))));
    for (const [context, stride] of [
      [6, 3],
      [7, 6],
      [4, 1],
      [64, 32],
    ] as const) {
      const { results, set } = await evaluate({ text, context, stride }, [0, 0.3]);
      for (const [k, alpha] of [0, 0.3].entries()) {
        const { score, metrics } = results[k]!;
        expect(Math.abs(metrics!.nll! / (await oracle(context, stride, alpha)) - 1)).toBeLessThan(1e-6);
        expect(score).toBeCloseTo(Math.exp(-metrics!.nll!), 15);
        expect(metrics!.perplexity! * score!).toBeCloseTo(1, 12);
      }
      expect(set.samples).toBe(documents.join('').length);
    }
  });

  test('of a .txt is that of one document; the default context is what the model was made for', async () => {
    const text = 'cub sum bcd klm pqr uvw '.repeat(5);
    const table = await written('one.csv', `id,text\n1,"${text}"\n`);
    const file = await written('one.txt', text);
    const model = await withTokenizer(base, llamaTokenizer());
    const of = async (source: Omit<TextSource, keyof typeof set>) => evaluate(source, [0.5], model);
    const named = await of({ text: file, task: 'perplexity', context: 64, stride: 32 });
    expect(await of({ text: file })).toEqual(named);
    expect((await of({ text: `${table}:text` })).set.fingerprint).toBe(named.set.fingerprint);
    const other = await of({ text: file, context: 64, stride: 16 });
    expect(other.set.fingerprint).not.toBe(named.set.fingerprint);
    expect(other.batch).toBe(64);
  });

  test('what is wrong with the data is named', async () => {
    const failing = async (text: string, more: object = {}) => evaluate({ text, ...more }, [0]);
    const text = await written('a.txt', 'abc');
    await expect(failing(text, { context: 8, stride: 8 })).rejects.toMatchObject({ code: 'ERR_USAGE' });
    await expect(failing(await written('b.txt', ''))).rejects.toMatchObject({
      ...{ code: 'ERR_DATA', message: expect.stringContaining('no token to score') },
    });
    const wrong = await written('c.jsonl', lines([{ text: 'a' }, { text: 3 }]));
    await expect(failing(wrong)).rejects.toMatchObject({
      ...{ code: 'ERR_DATA', message: expect.stringContaining('line 2') },
    });
    writeFileSync(text, Buffer.from([0x61, 0xff]));
    await expect(failing(text)).rejects.toMatchObject({ code: 'ERR_DATA', file: text });
    await expect(failing(await written('d.npy', ''))).rejects.toMatchObject({ code: 'ERR_DATA' });
    mkdirSync(`${text}.d.txt`);
    await expect(failing(`${text}.d.txt`)).rejects.toMatchObject({ code: 'ERR_IO' });
  });
});

describe('multiple choice', () => {
  const random = (() => {
    let state = 1;
    return (below: number) => {
      state = (state * 48271) % 2147483647;
      return state % below;
    };
  })();
  const word = () => Array.from({ length: 1 + random(6) }, () => 'bcdfgkmpquvwxz'[random(14)]).join('');
  const questions = Array.from({ length: 40 }, () => {
    const choices = Array.from({ length: 2 + random(3) }, () => ` ${word()}`);
    return { context: word(), choices, label: random(choices.length) };
  });

  test.each(['tokens', 'bytes', 'none'] as const)('by brute force, divided by %s', async (normalise) => {
    const text = await written('mc.jsonl', lines(questions));
    const alphas = [0, 0.4, 1];
    const { results, set } = await evaluate({ text, task: 'choices', normalise }, alphas);
    expect(set.samples).toBe(questions.length);
    expect(Array.from(set.labels!)).toEqual(questions.map(({ label }) => label));
    await using model = await NetworkModel.open(fixture(base), tuned);
    for (const [k, alpha] of alphas.entries()) {
      for (const [q, { context, choices, label }] of questions.entries()) {
        const scores: number[] = [];
        for (const choice of choices) {
          const ids = plain(context + choice);
          let sum = 0;
          for (let t = plain(context).length; t < ids.length; t++) {
            sum -= await lossOf(model, ids.slice(0, t), ids[t]!, alpha);
          }
          scores.push(sum / (normalise === 'none' ? 1 : choice.length));
        }
        const right = scores.indexOf(Math.max(...scores)) === label;
        expect([q, (results[k]!.correct![q >>> 5]! >>> (q & 31)) & 1]).toEqual([q, Number(right)]);
      }
    }
  });

  test('bytes are not tokens: normalisations differ, and so do fingerprints', async () => {
    const text = await written(
      'mc.jsonl',
      lines([{ context: 'x', choices: [' the the the', ' q'], label: 0 }, ...questions]),
    );
    const found = [];
    for (const normalise of ['tokens', 'bytes', 'none'] as const) {
      found.push(await evaluate({ text, task: 'choices', normalise }, [0]));
    }
    expect(new Set(found.map(({ set }) => set.fingerprint)).size).toBe(3);
    expect(new Set(found.map(({ results }) => results[0]!.correct!.join())).size).toBeGreaterThan(1);
  });

  test('a context that is too long loses its beginning; tokens across the border belong to the choice', async () => {
    const long = { context: `${'bcd '.repeat(9)}x`, choices: [' b', ' c'], label: 1 };
    const short = { context: 'cd bcd x', choices: [' b', ' c'], label: 1 };
    const losses = async (row: object, context: number, bare: boolean) => {
      const model = await withTokenizer(base, llamaTokenizer({ bare }));
      const text = await written('mc.jsonl', lines([row]));
      return await evaluate({ text, task: 'choices', context }, [0.2], model);
    };
    // Without a token in front, the last ten tokens are the same text.
    const [cut, own] = [await losses(long, 10, true), await losses(short, 64, true)];
    expect(cut.set.fingerprint).toBe(own.set.fingerprint);
    expect(cut.results).toEqual(own.results);
    // "he" is one token: what follows on the context "h" replaces it.
    const border = await losses({ context: 'wh', choices: ['e', 'b'], label: 0 }, 64, false);
    expect(border.results).toHaveLength(1);
    await using model = await NetworkModel.open(fixture(base), tuned);
    const he = await lossOf(model, [1, 25], 33, 0.2);
    const hb = await lossOf(model, [1, 25, 10], 4, 0.2);
    expect(border.results[0]!.correct![0]).toBe(he <= hb ? 1 : 0);
  });

  test('groups go with questions', async () => {
    const text = await written('mc.jsonl', lines(questions));
    const groups = await written('g.csv', `group\n${questions.map((_, i) => `g${i % 3}\n`).join('')}`);
    const { set } = await evaluate({ text, task: 'choices', groups }, [0]);
    expect(set.groups!.names).toEqual(['g0', 'g1', 'g2']);
    const few = await written('few.csv', 'group\na\n');
    await expect(evaluate({ text, task: 'choices', groups: few }, [0])).rejects.toMatchObject({
      code: 'ERR_DATA_MISMATCH',
    });
  });

  test.each<[string, object, string]>([
    ['label is not', { context: 'a', choices: ['b', 'c'], label: 2 }, 'ERR_DATA'],
    ['label is not', { context: 'a', choices: ['b', 'c'], label: '0' }, 'ERR_DATA'],
    ['choices is not', { context: 'a', choices: ['b'], label: 0 }, 'ERR_DATA'],
    ['choices is not', { context: 'a', choices: ['b', ''], label: 0 }, 'ERR_DATA'],
    ['context is not', { choices: ['b', 'c'], label: 0 }, 'ERR_DATA'],
    ['choice 0 has 9 tokens', { context: 'a', choices: ['bbbbbbbbb', 'c'], label: 0 }, 'ERR_DATA_MISMATCH'],
  ])('a line whose %s right is refused', async (why, row, code) => {
    const text = await written('mc.jsonl', lines([questions[0]!, row]));
    await expect(evaluate({ text, task: 'choices', context: 9 }, [0])).rejects.toMatchObject({
      code,
      message: expect.stringMatching(new RegExp(`line 2: ${why}`)),
    });
  });

  test('a choice without anything before it, no questions, another kind of file', async () => {
    const bare = await withTokenizer(base, llamaTokenizer({ bare: true }));
    const row = await written('mc.jsonl', lines([{ context: '', choices: ['bb', 'c'], label: 0 }]));
    await expect(evaluate({ text: row, task: 'choices' }, [0], bare)).rejects.toMatchObject({
      ...{ code: 'ERR_DATA_MISMATCH', message: expect.stringContaining('context has no token') },
    });
    for (const text of [await written('e.jsonl', '\n'), await written('e.csv', 'context\n')]) {
      await expect(evaluate({ text, task: 'choices' }, [0])).rejects.toMatchObject({ code: 'ERR_DATA' });
    }
  });
});

test('the identity changes with the weights and the tokenizer', async () => {
  const text = await written('a.txt', 'abc');
  const model = await withTokenizer(base, llamaTokenizer());
  const first = await evaluate({ text }, [0], model);
  expect((await evaluate({ text }, [0], model)).identity).toEqual(first.identity);
  writeFileSync(join(model, 'tokenizer.json'), JSON.stringify(llamaTokenizer({ bare: true })));
  expect((await evaluate({ text }, [0], model)).identity).not.toEqual(first.identity);
});
