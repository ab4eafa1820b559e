// Means of two networks are the middle of a sweep between them, whatever classifies.
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { soup } from '../../lib/sweep/soup.js';
import { type SweepOptions, sweep } from '../../lib/sweep/sweep.js';
import { runCli } from '../support/cli.js';
import { noise } from '../support/heads.js';
import { classes, poison, project } from '../support/image-project.js';
import { readModel, writeModel } from '../support/models.js';
import { fixture } from '../support/networks.js';
import { tensor, writeStored } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';
import { clipTokenizer, llamaTokenizer, withTokenizer } from '../support/tokenizers.js';

const names = ['cat', 'dog', 'bird', 'kite', 'lamp', 'sun', 'sea', 'hill', 'boat', 'moss'];

/** Both ends and the mean by a soup, against a sweep at 0, 0.5 and 1. */
async function compare(
  directory: string,
  options: Omit<SweepOptions, 'out'>,
  more: { heads?: readonly [string, string] } = {},
): Promise<void> {
  const { zeroshot, finetuned, sets, classNames, templates } = options;
  const [first, second] = more.heads ?? [];
  const heads = first === undefined ? {} : { heads: { zeroshot: first, finetuned: second! } };
  const swept = await sweep({
    ...options,
    ...heads,
    alphas: '0:1:0.5',
    divergence: false,
    out: join(directory, 'sweep'),
  });
  const souped = await soup({
    models: [zeroshot, finetuned],
    ...{ sets, out: join(directory, 'soup'), threads: 2 },
    ...(more.heads && { heads: [...more.heads] }),
    ...(classNames && { classNames }),
    ...(templates && { templates }),
  });
  for (const [s, { uniform, best, name }] of souped.sets.entries()) {
    const at = (k: number) => swept.sets[s]!.metrics[k]!;
    expect(swept.sets[s]!.name).toBe(name);
    expect(uniform.top1).toBe(at(1).top1);
    expect(uniform.nll).toBeCloseTo(at(1).nll!, 6);
    expect(best.nll).toBeCloseTo(at(2 * souped.order[0]!).nll!, 6);
  }
  expect(souped.scores).toEqual([swept.sets[0]!.metrics[0]!.top1, swept.sets[0]!.metrics[2]!.top1]);
}

describe('a soup of two', () => {
  test('ViTs with heads of their own', async () => {
    const { directory, options } = await project('vit-tiny');
    await compare(directory, options);
  });

  test('CLIPs with prompts', async () => {
    const { directory, options } = await project('clip-tiny');
    await writeFile(join(options.zeroshot, 'tokenizer.json'), JSON.stringify(clipTokenizer()));
    const sets = options.sets.map((set) => ({ ...set, images: `${set.images}.csv` }));
    for (const { images } of sets) {
      const folder = images.replace(/\.csv$/, '');
      const rows = names.map((name, c) => `${folder}/class${c}/0.png,${name}`);
      await writeFile(images, `path,label\n${rows.join('\n')}\n`);
    }
    await compare(directory, {
      ...options,
      sets,
      classNames: names,
      templates: ['a cub of {} .', 'one {} .'],
    });
  });

  test('CLIPs with heads in files of their own, which are averaged too', async () => {
    const { directory, options } = await project('clip-tiny');
    const random = noise(4);
    const heads = ['x', 'y'].map((name) => {
      const path = join(directory, `${name}.safetensors`);
      const dimension = 24;
      const weight = Float32Array.from({ length: classes * dimension }, () => random());
      writeStored(path, [tensor('head.weight', 'F32', [classes, dimension], weight)]);
      return path;
    }) as unknown as [string, string];
    await compare(directory, options, { heads });
  });
});

describe('soups of networks', () => {
  test('on images score as the model that is written', async () => {
    const { directory, options } = await project('vit-tiny');
    const third = join(directory, 'third');
    cpSync(options.zeroshot, third, { recursive: true });
    const models = [options.zeroshot, options.finetuned, third];
    writeModel(
      third,
      [...readModel(third).values()].map((one) => ({
        ...one,
        data:
          one.dtype === 'F32'
            ? Buffer.from(
                Float32Array.from(
                  { length: one.data.length / 4 },
                  (_, i) => one.data.readFloatLE(4 * i) * 0.9,
                ).buffer,
              )
            : one.data,
      })),
    );
    const out = join(directory, 'soup');
    const result = await soup({ models, sets: options.sets, out, threads: 2 });
    // The soup alone, from its files.
    cpSync(
      join(options.zeroshot, 'preprocessor_config.json'),
      join(out, 'model', 'preprocessor_config.json'),
    );
    const alone = await soup({
      models: [join(out, 'model')],
      sets: options.sets,
      out: join(directory, 'alone'),
    });
    for (const [s, { soup: scored }] of result.sets.entries()) {
      expect(alone.sets[s]!.best.top1).toBe(scored.top1);
      expect(alone.sets[s]!.best.nll).toBeCloseTo(scored.nll!, 6);
    }
    expect(result.scores).toHaveLength(3);
  });

  test('with a model that gives NaN are refused by its name', async () => {
    const { directory, options } = await project('vit-tiny');
    poison(options.finetuned);
    const models = [options.zeroshot, options.finetuned];
    const attempt = soup({ models, sets: options.sets, out: join(directory, 'soup'), threads: 2 });
    await expect(attempt).rejects.toMatchObject({
      code: 'ERR_EVALUATION',
      message: expect.stringMatching(/^model 1, set val: the outputs of 70 of 70 samples are NaN/),
    });
  });

  test('on text maximise the probability of tokens, and come from a file', async () => {
    const root = await tempDir();
    const base = await withTokenizer('llama-tiny/base', llamaTokenizer());
    writeFileSync(join(root, 'story.txt'), 'the man sat in the sand and on the stone. then the rain ran on');
    const file = join(root, 'soup.yml');
    const models = [base, fixture('llama-tiny/a'), fixture('llama-tiny/b')];
    writeFileSync(
      file,
      `models: ${JSON.stringify(models)}\nsets:\n  - { name: story, role: select, kind: id, text: story.txt }\n`,
    );
    const out = join(root, 'out');
    const { code, stdout, stderr } = await runCli(['soup', file, '--out', out]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/story \(id, select\)/);
    expect(stdout).toMatch(/There is no report set/);
    const result = JSON.parse(readFileSync(join(out, 'soup.json'), 'utf8'));
    expect(result.score).toBeGreaterThanOrEqual(Math.max(...result.scores) - 1e-11);
    expect(result.sets[0].soup.perplexity).toBeCloseTo(1 / result.score, 6);
    expect(existsSync(join(out, 'model', 'tokenizer.json'))).toBe(true);
  });
});
