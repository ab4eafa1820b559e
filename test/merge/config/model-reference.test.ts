// A model is what its path leads to, however the path is written.
import { symlinkSync } from 'node:fs';
import { relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { modelKey } from '../../../lib/merge/config/model-reference.js';
import { f32, numbers, Workshop } from '../../support/merge-file.js';
import { tempDir } from '../../support/temp.js';

async function shop(): Promise<Workshop> {
  const made = new Workshop(await tempDir());
  for (const [name, value] of [
    ['base', 1],
    ['tuned', 4],
  ] as const) {
    made.model(name, [f32('w', [1], [value])]);
  }
  symlinkSync(made.path('base'), made.path('link'));
  return made;
}

const spellings = (made: Workshop): string[] => [
  `${made.path('base')}/`,
  `${made.root}/./base`,
  `${made.root}/tuned/../base`,
  relative(process.cwd(), made.path('base')),
  made.path('link'),
  `${made.path('base')}@main`,
];

describe('another spelling of a path', () => {
  it('is the base where it is listed', async () => {
    const made = await shop();
    for (const base of spellings(made)) {
      const text = `merge_method: task_arithmetic\nbase_model: $/base\nmodels: [{model: ${base}}, {model: $/tuned}]\nparameters: {weight: 1, normalize: true}\n`;
      await made.merge(text, { force: true });
      expect(numbers(made.output().get('w')!), base).toEqual([4]);
    }
  });

  it('is the same model listed twice', async () => {
    const made = await shop();
    for (const path of spellings(made)) {
      const text = `merge_method: linear\nmodels: [{model: $/base}, {model: ${path}}]\nparameters: {weight: 1}\n`;
      await expect(made.merge(text), path).rejects.toMatchObject({
        code: 'ERR_MERGE_FILE',
        message: expect.stringMatching(/is listed twice; first in line 2/),
      });
    }
  });

  it('of what does not exist, of a repository or of a document counts as it is', async () => {
    const made = await shop();
    const key = (path: string, document?: true) =>
      modelKey({ model: { path }, ...(document && { document }) });
    expect(key('org/model')).not.toBe(key('org/model/'));
    expect(key(made.path('base'), true)).not.toBe(key(made.path('base')));
    const revised = (revision: string) => modelKey({ model: { path: 'org/model', revision } });
    expect(revised('a')).not.toBe(revised('b'));
  });

  it('of an adapter is the same adapter', async () => {
    const made = await shop();
    const lora = (path: string) => modelKey({ model: { path: 'org/model' }, lora: { path } });
    expect(lora(made.path('link'))).toBe(lora(made.path('base')));
  });
});
