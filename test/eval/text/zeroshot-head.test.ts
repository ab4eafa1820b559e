import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NetworkModel } from '../../../lib/eval/network.js';
import { makeZeroshotHead } from '../../../lib/eval/text/zeroshot-head.js';
import { asFloats, fixture, whole } from '../../support/networks.js';
import { readStored, readTensors } from '../../support/safetensors.js';
import { tempDir } from '../../support/temp.js';
import { clipTokenizer, llamaTokenizer, withTokenizer } from '../../support/tokenizers.js';

const clip = 'clip-tiny/zeroshot';

/** Words of `clipTokenizer` without pairs, each letter a token, the last one that of an end; 16 tokens with both ends. */
function tokens(words: string): number[] {
  const text = words.split(' ').flatMap((word) => {
    if (word === 'cat') return [55];
    if (word === 'of') return [56];
    return Array.from(
      word,
      (c, i) => (c === '.' ? 26 : c.charCodeAt(0) - 97) + (i === word.length - 1 ? 27 : 0),
    );
  });
  return [97, ...text.slice(0, 14), 98];
}

const norm = (vector: readonly number[]) => Math.hypot(...vector);

/** The row of a class by definition, from the embeddings of its prompts one by one. */
async function rowOf(model: NetworkModel, prompts: readonly string[]): Promise<number[]> {
  const sum = new Array<number>(24).fill(0);
  for (const prompt of prompts) {
    const ids = tokens(prompt);
    const [outputs] = await model.forward(new Map([['input_ids', whole([1, ids.length], ids)]]), [0]);
    const embedding = Array.from(outputs!.get('text_embeds')!.data);
    for (const [d, value] of embedding.entries()) sum[d]! += value / norm(embedding) / prompts.length;
  }
  const [scale] = asFloats(readTensors(fixture(`${clip}/model.safetensors`)).get('logit_scale')!);
  return sum.map((value) => (Math.exp(scale!) * value) / norm(sum));
}

describe('a zero-shot head', () => {
  test('is what the embeddings of the prompts give by hand', async () => {
    const out = join(await tempDir(), 'head.safetensors');
    const classNames = ['cat', 'dog', 'kingfisher', 'cat'];
    // The second one is too long for some names: 16 tokens are seen.
    const templates = ['a cub of {} .', 'one two {} .', '{} {}'];
    const model = await withTokenizer(clip, clipTokenizer());
    const done: number[][] = [];
    const result = await makeZeroshotHead({
      ...{ model, classNames, templates, out },
      onProgress: (...at) => done.push(at),
    });
    expect(result).toMatchObject({ file: out, classes: 4, dimension: 24, templates: 3, truncated: 3 });
    expect(done.at(-1)).toEqual([12, 12]);
    const { metadata, tensors } = readStored(out);
    const [{ name, dtype, shape }] = tensors as [(typeof tensors)[0]];
    expect([tensors.length, name, dtype, shape]).toEqual([1, 'head.weight', 'F32', [4, 24]]);
    const weight = asFloats(tensors[0]!);
    await using network = await NetworkModel.open(fixture(clip));
    for (const [c, className] of classNames.entries()) {
      const prompts = templates.map((template) => template.replaceAll('{}', className));
      const row = await rowOf(network, prompts);
      const found = Array.from(weight.subarray(c * 24, (c + 1) * 24));
      expect(norm(found)).toBeCloseTo(result.scale, 4);
      for (const [d, value] of row.entries())
        expect(Math.abs(found[d]! - value)).toBeLessThan(1e-6 * result.scale);
    }
    expect(metadata).toMatchObject({ format: 'wisemerge head', scale: String(result.scale) });
    expect(JSON.parse(metadata!.class_names!)).toEqual(classNames);
    expect(JSON.parse(metadata!.templates!)).toEqual(templates);
  });

  test('is the same whatever classes it has besides, however many threads', async () => {
    const root = await tempDir();
    const model = await withTokenizer(clip, clipTokenizer());
    const build = async (classNames: string[], threads: number) => {
      const out = join(root, `${classNames.length}.safetensors`);
      await makeZeroshotHead({ model, classNames, templates: ['a {}', 'the {} of it'], out, threads });
      return Buffer.from(readTensors(out).get('head.weight')!.data);
    };
    const all = await build(['cat', 'kingfishers', 'ox'], 2);
    expect((await build(['ox'], 1)).equals(all.subarray(2 * 24 * 4))).toBe(true);
  });

  test('names and templates come from files of several kinds', async () => {
    const root = await tempDir();
    const model = await withTokenizer(clip, clipTokenizer());
    const out = join(root, 'head.safetensors');
    const files: [string, string][] = [
      ['names.txt', '\n cat \ngreat auk\r\n\n'],
      ['names.json', '["cat", "great auk"]'],
      ['names.csv', 'id,name\n0,cat\n1,great auk\n'],
      ['names.jsonl', '{"name":"cat"}\n{"name":"great auk"}\n'],
    ];
    for (const [name, text] of files) {
      const classNames = join(root, name);
      writeFileSync(classNames, text);
      await makeZeroshotHead({ model, classNames, out, force: true });
      const { metadata } = readStored(out);
      expect(JSON.parse(metadata!.class_names!)).toEqual(['cat', 'great auk']);
      expect(JSON.parse(metadata!.templates!)).toEqual(['a photo of a {}.']);
    }
    expect(readdirSync(root).sort()).toEqual([...files.map(([name]) => name), 'head.safetensors'].sort());
  });
});

describe('what is wrong is said before anything is written', () => {
  test.each<[string, object, object]>([
    ['a template without a place', { templates: ['a photo'] }, { code: 'ERR_USAGE' }],
    ['no classes', { classNames: [] }, { code: 'ERR_USAGE' }],
    ['a number as a name', { classNames: ['a', 5] }, { code: 'ERR_USAGE' }],
    ['no names at all', { classNames: undefined }, { code: 'ERR_USAGE' }],
    ['an empty name', { classNames: ['a', ' '] }, { code: 'ERR_USAGE' }],
    ['no model', { model: '/nowhere' }, {}],
  ])('%s', async (_what, change, error) => {
    const out = join(await tempDir(), 'head.safetensors');
    const model = await withTokenizer(clip, clipTokenizer());
    await expect(makeZeroshotHead({ model, classNames: ['cat'], out, ...change })).rejects.toMatchObject(
      error,
    );
    expect(existsSync(out)).toBe(false);
  });

  test('models without a text tower, tokenizers without an end, lists that are none', async () => {
    const root = await tempDir();
    const out = join(root, 'head.safetensors');
    const build = async (model: string, more: object = {}) =>
      makeZeroshotHead({ model, classNames: ['cat'], out, ...more });
    const llama = await withTokenizer('llama-tiny/a', llamaTokenizer());
    await expect(build(llama)).rejects.toMatchObject({
      ...{ code: 'ERR_CONFIG', message: expect.stringContaining('not a CLIP model') },
    });
    await expect(build(fixture(clip))).rejects.toMatchObject({
      ...{ code: 'ERR_CONFIG', message: expect.stringContaining('no tokenizer') },
    });
    await expect(build(await withTokenizer(clip, clipTokenizer({ open: true })))).rejects.toMatchObject({
      ...{ code: 'ERR_CONFIG', message: expect.stringContaining('adds no end token to a text') },
    });
    for (const text of ['{}', '[1]', '[', '[]']) {
      const classNames = join(root, 'names.json');
      writeFileSync(classNames, text);
      await expect(build(llama, { classNames })).rejects.toMatchObject({ code: 'ERR_DATA' });
    }
  });

  test('what is there is replaced on request, and only what wisemerge wrote', async () => {
    const out = join(await tempDir(), 'head.safetensors');
    const model = await withTokenizer(clip, clipTokenizer());
    const build = async (force: boolean) => makeZeroshotHead({ model, classNames: ['cat'], out, force });
    writeFileSync(out, 'mine');
    await expect(build(false)).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    await expect(build(true)).rejects.toMatchObject({ code: 'ERR_OUTPUT_NOT_OURS' });
  });
});
