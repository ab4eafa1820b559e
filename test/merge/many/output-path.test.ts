// With --force an output replaces an earlier one of ours: never what the merge itself reads.
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { assembleMoe, extractLora, mergeFile, planMergeFile } from '../../../lib/index.js';
import { f32, Workshop } from '../../support/merge-file.js';
import { listFiles } from '../../support/models.js';
import { tempDir } from '../../support/temp.js';

const mlp = (part: string, shape: readonly number[], change = 0) =>
  f32(
    `model.layers.0.mlp.${part}_proj.weight`,
    shape,
    Array.from({ length: 8 }, (_, i) => i + (i === 3 ? change : 0)),
  );
const layer = (change = 0) => [mlp('gate', [4, 2]), mlp('up', [4, 2], change), mlp('down', [2, 4])];
const tokenizer = JSON.stringify({
  added_tokens: [],
  model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] },
});

/** A base, outputs of ours in `tuned` (an adapter) and `words` (a model with a tokenizer). */
async function shop(): Promise<Workshop> {
  const made = new Workshop(await tempDir());
  const config = { model_type: 'llama', num_hidden_layers: 1 };
  made.model('base', [f32('model.embed_tokens.weight', [2, 2], [1, 2, 3, 4]), ...layer()], {
    config,
    files: { 'tokenizer.json': tokenizer },
  });
  made.model('other', [f32('model.embed_tokens.weight', [2, 2], [1, 2, 3, 4]), ...layer(1)], { config });
  const paths = { base: made.path('base'), finetuned: made.path('other') };
  await extractLora({ ...paths, rank: 1, out: made.path('tuned') });
  await made.merge('merge_method: passthrough\nmodels: [{model: $/base}]\n', { out: made.path('words') });
  return made;
}

const files = {
  'an adapter': ['tuned', 'merge_method: passthrough\nmodels: [{model: $/base+$/tuned}]\n'],
  'a tokenizer of no model': [
    'words',
    'merge_method: passthrough\nmodels: [{model: $/base}]\ntokenizer_source: $/words\n',
  ],
  'an adapter of a later document': [
    'tuned',
    'name: step\nmerge_method: passthrough\nmodels: [{model: $/base}]\n---\nmerge_method: passthrough\nmodels: [{model: step+$/tuned}]\n',
  ],
  'a tokenizer of a later document': [
    'words',
    'name: step\nmerge_method: passthrough\nmodels: [{model: $/base}]\n---\nmerge_method: passthrough\nmodels: [{model: step}]\ntokenizer_source: $/words\n',
  ],
} as const;

describe('an output is refused where it is or holds', () => {
  it.each(Object.entries(files))('%s', async (_, [name, text]) => {
    const made = await shop();
    const before = listFiles(made.path(name));
    const refusal = {
      code: 'ERR_OUTPUT_IS_INPUT',
      message: expect.stringContaining(made.path(name)),
      file: made.path(name),
    };
    const out = made.path(name);
    await expect(made.merge(text, { out, force: true })).rejects.toMatchObject(refusal);
    await expect(planMergeFile({ config: made.config(text), out })).rejects.toMatchObject(refusal);
    expect(listFiles(made.path(name))).toEqual(before);
    // The directory above it, and none beside it.
    mkdirSync(made.path('above'));
    renameSync(made.path(name), made.path(`above/${name}`));
    const moved = text.replace(`$/${name}`, `$/above/${name}`);
    await expect(made.merge(moved, { out: made.path('above'), force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_IS_INPUT',
    });
    await made.merge(moved, { out: made.path('above/beside') });
  });

  it('the merge file, unless the output has it again under the same name', async () => {
    const made = await shop();
    const config = made.config('merge_method: passthrough\nmodels: [{model: $/base}]\n', 'words/mine.yml');
    await expect(mergeFile({ config, out: made.path('words'), force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_IS_INPUT',
      message: expect.stringContaining('mine.yml'),
    });
    expect(existsSync(config)).toBe(true);
    rmSync(config);
    const again = made.path('words/mergekit_config.yml');
    await mergeFile({ config: again, out: made.path('words'), force: true });
    expect(existsSync(again)).toBe(true);
  });

  it('an adapter of an expert, or the file that describes the mixture', async () => {
    const made = await shop();
    const text = `base_model: $/base\ngate_mode: random\nexperts: [{source_model: $/base}, {source_model: $/base+$/tuned}]\n`;
    for (const name of ['moe.yml', 'tuned/moe.yml']) {
      const config = made.config(name === 'moe.yml' ? text : text.replace('$/base+$/tuned', '$/other'), name);
      const out = made.path('tuned');
      await expect(assembleMoe({ config, out, force: true })).rejects.toMatchObject({
        code: 'ERR_OUTPUT_IS_INPUT',
      });
      expect(listFiles(out)).toContain('adapter_config.json');
    }
  });
});
