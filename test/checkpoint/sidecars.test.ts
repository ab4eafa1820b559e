// What accompanies the weights of an output: files of the zero-shot model, configuration, card and manifest.
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint.js';
import { renderCard } from '../../lib/checkpoint/model-card.js';
import { type MergeOptions, merge, planMerge, version } from '../../lib/index.js';
import { listFiles, type ModelOptions, writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

const weights = [tensor('w', 'F32', [4], randomF32(4, 1))];

async function mergeModel(options: ModelOptions, merging: Partial<MergeOptions> = {}) {
  const root = await tempDir();
  const zeroshot = writeModel(join(root, 'base'), weights, options);
  const finetuned = writeModel(join(root, 'tuned'), weights);
  const given = { zeroshot, finetuned, alpha: 0.5, out: join(root, 'out'), ...merging };
  const plan = await planMerge(given);
  const result = await merge(given);
  return {
    root,
    plan,
    result,
    out: given.out,
    read: (name: string) => readFileSync(join(given.out, name), 'utf8'),
  };
}

describe('files beside the weights', () => {
  it('are copied from the zero-shot model, nested ones too, byte for byte', async () => {
    const files = {
      'tokenizer.json': '{"a": 1}',
      'tokenizer.model': Buffer.from([0, 255, 10, 13]),
      'vocab.txt': 'a\nb\n',
      'chat_template.jinja': '{{ x }}',
      'generation_config.json': '{}',
      'model_index.json': '{}',
      '1_Pooling/config.json': '{"pooling": true}',
      'a/b/deep.json': '{}',
    };
    const { out, plan } = await mergeModel({ files, config: { model_type: 'x' } });
    const expected = [...Object.keys(files), 'config.json'].sort();
    expect(plan.sidecars.toSorted()).toEqual(expected);
    expect(listFiles(out)).toEqual([...expected, 'README.md', 'model.safetensors', 'wisemerge.json'].sort());
    for (const [name, content] of Object.entries(files))
      expect(readFileSync(join(out, name))).toEqual(Buffer.from(content));
  });

  it('leave out code, with a reason', async () => {
    const files = {
      'modeling_x.py': 'import os',
      'nested/code.py': '',
      'model_head.pkl': 'x',
      'kept.txt': 'x',
    };
    const { out, plan } = await mergeModel({ files });
    expect(listFiles(out)).toEqual(['README.md', 'kept.txt', 'model.safetensors', 'wisemerge.json']);
    expect(plan.skipped.map(({ file }) => file)).toEqual([
      'model_head.pkl',
      'modeling_x.py',
      'nested/code.py',
    ]);
    for (const { reason } of plan.skipped) expect(reason).toMatch(/code.*: add it yourself if you trust it/);
  });

  it('are readable, which shows before any work', async () => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'base'), weights, { files: { 'tokenizer.json': '{}' } });
    const file = join(zeroshot, 'tokenizer.json');
    chmodSync(root, 0o755);
    chmodSync(file, 0);
    const superuser = process.geteuid!() === 0;
    if (superuser) process.seteuid!(65534);
    try {
      const plan = planMerge({ zeroshot, finetuned: zeroshot, alpha: 0.5, out: join(root, 'out') });
      await expect(plan).rejects.toMatchObject({ code: 'ERR_IO', file });
    } finally {
      if (superuser) process.seteuid!(0);
    }
  });

  it('are writable copies of read-only files', async () => {
    const root = await tempDir();
    const files = { 'tokenizer.json': '{}', 'nested/vocab.txt': 'a' };
    const zeroshot = writeModel(join(root, 'base'), weights, { files });
    for (const name of Object.keys(files)) chmodSync(join(zeroshot, name), 0o444);
    const out = join(root, 'out');
    await merge({ zeroshot, finetuned: zeroshot, alpha: 0.5, out });
    for (const name of Object.keys(files)) expect(statSync(join(out, name)).mode & 0o777).toBe(0o644);
  });

  it('leave out how the zero-shot model itself was merged', async () => {
    const files = { 'mergekit_config.yml': 'merge_method: linear', 'kept.txt': 'x' };
    const { out } = await mergeModel({ files });
    expect(listFiles(out)).toEqual(['README.md', 'kept.txt', 'model.safetensors', 'wisemerge.json']);
  });

  it('leave out earlier outputs inside the zero-shot model', async () => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'base'), weights, { files: { 'nested/kept.txt': 'x' } });
    const finetuned = writeModel(join(root, 'tuned'), weights);
    const given = { zeroshot, finetuned, alpha: 0.5 };
    await merge({ ...given, out: join(zeroshot, 'merged') });
    await merge({ ...given, alpha: [0, 1], out: join(zeroshot, 'nested', 'both') });
    const { sidecars, skipped } = await planMerge({ ...given, out: join(root, 'out') });
    expect(sidecars).toEqual(['nested/kept.txt']);
    const reason = 'an output of wisemerge';
    expect(skipped).toEqual([
      { file: 'merged', reason },
      { file: 'nested/both/alpha_0.0000', reason },
      { file: 'nested/both/alpha_1.0000', reason },
    ]);
  });

  it('are not looked for behind links to directories, which may lead anywhere', async () => {
    const root = await tempDir();
    const zeroshot = writeModel(join(root, 'base'), weights, { files: { 'a/b.json': '{}' } });
    mkdirSync(join(root, 'secret'));
    writeFileSync(join(root, 'secret', 'key.json'), '{}');
    symlinkSync('.', join(zeroshot, 'loop'));
    symlinkSync('../secret', join(zeroshot, 'extra'));
    const finetuned = writeModel(join(root, 'tuned'), weights);
    const plan = await planMerge({ zeroshot, finetuned, alpha: 0.5, out: join(root, 'out') });
    expect(plan.sidecars).toEqual(['a/b.json']);
    const reason = 'a link to a directory';
    expect(plan.skipped).toEqual([
      { file: 'extra', reason },
      { file: 'loop', reason },
    ]);
  });

  it('follow symbolic links, as in the Hugging Face cache, into real files, and pass over dangling ones', async () => {
    const root = await tempDir();
    const blobs = join(root, 'models--org--name', 'blobs');
    const snapshot = join(root, 'models--org--name', 'snapshots', 'abc123');
    const model = writeModel(blobs, weights, {
      files: { tokenizer: '{"t": 1}', config: '{"model_type": "x"}' },
    });
    mkdirSync(snapshot, { recursive: true });
    symlinkSync(join(model, 'model.safetensors'), join(snapshot, 'model.safetensors'));
    symlinkSync('../../blobs/tokenizer', join(snapshot, 'tokenizer.json'));
    symlinkSync('../../blobs/config', join(snapshot, 'config.json'));
    symlinkSync('../../blobs/gone', join(snapshot, 'dangling.json'));
    const out = join(root, 'out');
    await merge({ zeroshot: snapshot, finetuned: snapshot, alpha: 0.5, out });
    expect(listFiles(out)).toEqual([
      'README.md',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'wisemerge.json',
    ]);
    expect(readFileSync(join(out, 'tokenizer.json'), 'utf8')).toBe('{"t": 1}');
    const card = readFileSync(join(out, 'README.md'), 'utf8');
    expect(parse(card.split('---')[1]!).base_model).toEqual(['org/name', 'org/name']);
  });
});

describe('config.json', () => {
  const text =
    '{\n    "eps": 1e-05,\n    "theta": 10000.0,\n    "torch_dtype": "float32",\n    "id2label": {"10": "b", "2": "a"}\n}\n';

  it('is copied byte for byte without --dtype', async () => {
    const { read } = await mergeModel({ files: { 'config.json': text } });
    expect(read('config.json')).toBe(text);
  });

  it('gets the new dtype and keeps everything else, down to the spelling of its numbers', async () => {
    const { read } = await mergeModel({ files: { 'config.json': text } }, { dtype: 'bfloat16' });
    expect(read('config.json')).toBe(text.replace('float32', 'bfloat16'));
  });

  it('keeps the key it had: dtype, torch_dtype, or both', async () => {
    const update = async (config: object) =>
      JSON.parse(
        (await mergeModel({ files: { 'config.json': JSON.stringify(config) } }, { dtype: 'float16' })).read(
          'config.json',
        ),
      );
    expect(await update({ dtype: 'float32' })).toEqual({ dtype: 'float16' });
    expect(await update({ torch_dtype: 'float32', a: 1 })).toEqual({ torch_dtype: 'float16', a: 1 });
    expect(await update({ dtype: 'float32', torch_dtype: 'float32' })).toEqual({
      dtype: 'float16',
      torch_dtype: 'float16',
    });
    expect(await update({ a: 1 })).toEqual({ a: 1, dtype: 'float16' });
    expect(await update({})).toEqual({ dtype: 'float16' });
  });

  it('gets the new dtype in nested text and vision configurations that state one', async () => {
    const config = {
      torch_dtype: 'float32',
      text_config: { dtype: 'float32', x: 1 },
      vision_config: { x: 'dtype' },
    };
    const { read } = await mergeModel({ config }, { dtype: 'bfloat16' });
    expect(JSON.parse(read('config.json'))).toEqual({
      torch_dtype: 'bfloat16',
      text_config: { dtype: 'bfloat16', x: 1 },
      vision_config: { x: 'dtype' },
    });
  });

  it('may hold numbers as Python writes them and JSON does not', async () => {
    const python =
      '{"time_step_limit": [0.0, Infinity], "low": -Infinity, "eps": NaN, "torch_dtype": "float32", "x": "\\" NaN, -Infinity"}';
    const { read, out } = await mergeModel({ files: { 'config.json': python } }, { dtype: 'float16' });
    expect(read('config.json')).toBe(python.replace('float32', 'float16'));
    expect((await openCheckpoint(out)).config).toEqual({
      time_step_limit: [0, Number.POSITIVE_INFINITY],
      low: Number.NEGATIVE_INFINITY,
      eps: null,
      torch_dtype: 'float16',
      x: '" NaN, -Infinity',
    });
  });

  it('of a damaged kind stops the merge', async () => {
    const root = await tempDir();
    for (const [i, content] of ['{', '[]', 'null', '"x"', '{"x": Infinity', '{"x": Infinityy}'].entries()) {
      const model = writeModel(join(root, String(i)), weights, { files: { 'config.json': content } });
      await expect(
        planMerge({ zeroshot: model, finetuned: model, alpha: 0.5, out: join(root, 'out') }),
      ).rejects.toMatchObject({
        code: 'ERR_CONFIG',
        file: join(model, 'config.json'),
      });
    }
  });
});

describe('the model card', () => {
  const frontMatter = (card: string) => parse(/^---\n([\s\S]*?)\n---\n/.exec(card)![1]!);

  it('names the models, the relation, the tags, alpha and the command, in terms of the Hub', async () => {
    const { root, read } = await mergeModel({ config: { architectures: ['X'] } }, { dtype: 'bfloat16' });
    const card = read('README.md');
    expect(frontMatter(card)).toEqual({
      library_name: 'transformers',
      base_model: ['base', 'tuned'],
      base_model_relation: 'merge',
      tags: ['merge', 'wise-ft', 'wisemerge'],
    });
    expect(card).toContain('| alpha | 0.5 |');
    expect(card).toContain(
      'wisemerge merge --zeroshot base --finetuned tuned --alpha 0.5 --out out --dtype bfloat16\n',
    );
    // What is published says nothing of the machine.
    expect(card).not.toContain(root);
    expect(card).toContain(version);
  });

  it('takes licence and language over from the zero-shot model, and nothing else', async () => {
    const readme = '---\nlicense: mit\nlanguage: [en, de]\nbase_model: x/y\nextra: 1\n---\n# Old text\n';
    const { read } = await mergeModel({ files: { 'README.md': readme } });
    expect(frontMatter(read('README.md'))).toMatchObject({
      license: 'mit',
      language: ['en', 'de'],
      base_model: ['base', 'tuned'],
    });
    expect(read('README.md')).not.toMatch(/extra|Old text|x\/y/);
  });

  it('gives the range of more alphas than a call takes arguments', async () => {
    const zeroshot = await openCheckpoint(writeModel(join(await tempDir(), 'base'), weights));
    const tensorAlphas = Object.fromEntries(
      Array.from({ length: 200_000 }, (_, i) => [`layer.${i}`, (i + 1) / 400_000]),
    );
    const facts = { zeroshot, finetuned: zeroshot, alpha: 0.5, dtype: 'F32', command: 'x', version };
    expect(await renderCard({ ...facts, tensorAlphas })).toContain('| alpha | 0.0000025 to 0.5 by layer');
  });

  it('survives a damaged card of the zero-shot model', async () => {
    for (const readme of ['---\n: [\n---\n', 'no front matter', '---\n- a list\n---\n']) {
      const { read } = await mergeModel({ files: { 'README.md': readme } });
      expect(frontMatter(read('README.md')).tags).toContain('merge');
    }
  });

  it('quotes the command for a shell', async () => {
    const root = await tempDir();
    const model = writeModel(join(root, "it's a model; $HOME"), weights);
    await merge({
      zeroshot: model,
      finetuned: model,
      alpha: [-0.5],
      extrapolate: true,
      out: join(root, 'out'),
    });
    const card = readFileSync(join(root, 'out', 'alpha_-0.5000', 'README.md'), 'utf8');
    expect(card).toContain(`--zeroshot 'it'\\''s a model; $HOME'`);
    expect(card).toContain("--alpha '-0.5,'");
  });
});

describe('the manifest', () => {
  it('says how the output was made: inputs, parameters, versions and checksums', async () => {
    const { read, result, root, out } = await mergeModel({}, { dtype: 'float16', alpha: 0.25 });
    const manifest = JSON.parse(read('wisemerge.json'));
    const size = readFileSync(join(root, 'base', 'model.safetensors')).length;
    const input = (name: string) => ({
      path: join(root, name),
      files: [
        { name: 'model.safetensors', bytes: size, headerXxh3: expect.stringMatching(/^[0-9a-f]{16}$/) },
      ],
    });
    expect(manifest).toEqual({
      wisemerge: version,
      node: process.version,
      method: 'wise_ft',
      formula: expect.stringContaining('fma'),
      alpha: 0.25,
      dtype: 'F16',
      device: 'cpu',
      command: `wisemerge merge --zeroshot ${root}/base --finetuned ${root}/tuned --alpha 0.25 --out ${out} --dtype float16`,
      zeroshot: input('base'),
      finetuned: input('tuned'),
      parameters: 4,
      files: [{ name: 'model.safetensors', bytes: 4096 + 8, xxh3: expect.stringMatching(/^[0-9a-f]{16}$/) }],
      nonFinite: {},
      companions: ['README.md'],
    });
    expect(result.outputs[0]!.files).toEqual(manifest.files);
  });

  it('and the plan and the result are plain JSON', async () => {
    const { plan, result } = await mergeModel({ config: { a: 1 } });
    expect(JSON.parse(JSON.stringify(plan))).toEqual({ ...plan, index: undefined });
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });

  it('records relative paths as they were given', async () => {
    const root = await tempDir();
    const model = writeModel(join(root, 'base'), weights);
    const given = relative(process.cwd(), model);
    await merge({ zeroshot: given, finetuned: model, alpha: 0.5, out: join(root, 'out') });
    const manifest = JSON.parse(readFileSync(join(root, 'out', 'wisemerge.json'), 'utf8'));
    expect(manifest.zeroshot.path).toBe(given);
  });
});
