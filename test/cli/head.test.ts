import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runCli } from '../support/cli.js';
import { noise } from '../support/heads.js';
import { project as imageProject } from '../support/image-project.js';
import { contents, readModel } from '../support/models.js';
import { readStored, readTensors, writeStored } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';
import { clipTokenizer, withTokenizer } from '../support/tokenizers.js';

async function project() {
  const root = await tempDir();
  const classes = join(root, 'names.txt');
  writeFileSync(classes, 'cat\ngreat auk\nox\n');
  const model = await withTokenizer('clip-tiny/zeroshot', clipTokenizer());
  return {
    root,
    args: ['head', '--model', model, '--classes', classes, '--out', join(root, 'head.safetensors')],
  };
}

describe('wisemerge head', () => {
  test('builds a head that finetune starts from and sweep compares with', async () => {
    const { root, args } = await project();
    const head = join(root, 'head.safetensors');
    const built = await runCli(args);
    expect([built.code, built.stdout], built.stderr).toEqual([
      ...[0, expect.stringContaining('head.weight [3, 24] from 1 template, scale ')],
    ]);
    expect(built.stderr).toContain(head);

    const features = join(root, 'features.safetensors');
    const random = noise(7);
    const rows = Float32Array.from({ length: 60 * 24 }, () => random());
    const labels = Int32Array.from({ length: 60 }, (_, i) => i % 3);
    writeStored(features, [
      { name: 'features', dtype: 'F32', shape: [60, 24], data: Buffer.from(rows.buffer) },
      { name: 'labels', dtype: 'I32', shape: [60], data: Buffer.from(labels.buffer) },
    ]);
    const data = [`${features}:features`, `${features}:labels`];
    const trained = await runCli([
      ...['finetune', '--zeroshot', head, '--features', data[0]!, '--labels', data[1]!],
      ...['--epochs', '1', '--out', join(root, 'runs'), '--quiet'],
    ]);
    expect(trained.code, trained.stderr).toBe(0);
    const swept = await runCli([
      ...['sweep', '--zeroshot', head, '--finetuned', join(root, 'runs', 'epoch_0001')],
      ...['--set', `val:select:id=${data.join(',')}`, '--replicates', '10', '--json', '--quiet'],
      ...['--out', join(root, 'sweep')],
    ]);
    expect(swept.code, swept.stderr).toBe(0);
    expect(JSON.parse(swept.stdout).head).toMatchObject({ name: 'head.weight', classes: 3, dimension: 24 });
  });

  test('puts the head into a copy of the model, which finetune trains on images', async () => {
    const { directory } = await imageProject('clip-tiny');
    const model = await withTokenizer('clip-tiny/zeroshot', clipTokenizer());
    cpSync(join(directory, 'zeroshot', 'preprocessor_config.json'), join(model, 'preprocessor_config.json'));
    const classes = join(directory, 'names.txt');
    writeFileSync(classes, Array.from({ length: 10 }, (_, c) => `class${c}\n`).join(''));
    const [alone, whole] = [join(directory, 'head.safetensors'), join(directory, 'with-head')];
    const args = ['head', '--model', model, '--classes', classes];
    expect((await runCli([...args, '--out', alone])).code).toBe(0);
    const built = await runCli([...args, '--in-model', '--out', whole]);
    expect(built.code, built.stderr).toBe(0);
    expect(built.stdout).toContain('classifier.weight [10, 24] from 1 template');
    const copy = readModel(whole);
    const head = copy.get('classifier.weight')!;
    expect(head.data).toEqual(readTensors(alone).get('head.weight')!.data);
    copy.delete('classifier.weight');
    expect(contents(copy)).toEqual(contents(readModel(model)));
    const verified = await runCli(['verify', whole]);
    expect(verified.code, verified.stderr).toBe(0);
    const manifest = JSON.parse(readFileSync(join(whole, 'wisemerge.json'), 'utf8'));
    expect(manifest.command).toBe(
      `wisemerge head --model ${model} --classes ${classes} --template 'a photo of a {}.' --in-model --out ${whole}`,
    );

    const trained = await runCli([
      ...['finetune', '--zeroshot', whole, '--images', join(directory, 'shift'), '--class-names', classes],
      ...['--epochs', '1', '--device', 'cpu', '--out', join(directory, 'runs'), '--quiet'],
    ]);
    expect(trained.code, trained.stderr).toBe(0);
    expect(readModel(join(directory, 'runs', 'epoch_0001')).has('classifier.weight')).toBe(true);

    const again = await runCli([...args, '--in-model', '--out', whole]);
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('ERR_OUTPUT_EXISTS')]);
    const twice = await runCli([
      ...['head', '--model', whole, '--classes', classes],
      '--in-model',
      '--out',
      `${whole}2`,
    ]);
    expect([twice.code, twice.stderr]).toEqual([
      2,
      expect.stringContaining('has a classifier.weight already'),
    ]);
  });

  test('templates by flags or from a file, one JSON object, --force', async () => {
    const { root, args } = await project();
    const file = join(root, 'templates.txt');
    const texts = ['a {}.', 'the best photo of all photos of a {}.'];
    writeFileSync(file, texts.join('\n'));
    const given = await runCli([
      ...args,
      ...texts.flatMap((text) => ['--template', text]),
      '--json',
      '--quiet',
    ]);
    expect([given.code, given.stderr]).toEqual([0, '']);
    expect(JSON.parse(given.stdout)).toMatchObject({ classes: 3, dimension: 24, templates: 2, truncated: 3 });
    const head = join(root, 'head.safetensors');
    const first = readFileSync(head);
    const again = await runCli([...args, '--templates', file]);
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('ERR_OUTPUT_EXISTS')]);
    const forced = await runCli([...args, '--templates', file, '--force']);
    expect(forced.code).toBe(0);
    expect(forced.stderr).toContain('3 prompts were too long');
    expect(readFileSync(head).equals(first)).toBe(true);
    expect(JSON.parse(readStored(head).metadata!.templates!)).toEqual(texts);
    const both = await runCli([...args, '--templates', file, '--template', 'a {}']);
    expect(both.code).toBe(2);
  });
});
