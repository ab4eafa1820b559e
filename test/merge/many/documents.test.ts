// Files of several documents, and everything beside the weights of an output.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Progress, planMergeFile, verify } from '../../../lib/index.js';
import { f32, numbers, Workshop } from '../../support/merge-file.js';
import { tempDir } from '../../support/temp.js';

async function shop(): Promise<Workshop> {
  const made = new Workshop(await tempDir());
  for (const [name, value] of [
    ['a', 1],
    ['b', 2],
    ['c', 7],
  ] as const) {
    made.model(name, [f32('model.layers.0.w', [1], [value]), f32('model.layers.1.w', [1], [10 * value])], {
      config: { architectures: ['X'], num_hidden_layers: 2, rms_norm_eps: 1e-5 },
      files: { 'README.md': `---\nlicense: mit\n---\n# ${name}\n`, 'vocab.txt': name, 'modeling.py': '' },
    });
  }
  return made;
}

const chain = `name: sum
merge_method: linear
models: [{model: $/a}, {model: $/b}]
parameters: {weight: 1, normalize: false}
---
merge_method: linear
models: [{model: tall}, {model: sum}]
parameters: {weight: [{filter: layers.0, value: 1}, {value: 3}], normalize: false}
---
name: tall
merge_method: passthrough
slices:
  - sources: [{model: sum, layer_range: [1, 2]}]
  - sources: [{model: $/c, layer_range: [0, 1]}]
`;

describe('several documents', () => {
  it('are made in an order that allows it, each in a directory of its name', async () => {
    const made = await shop();
    const { documents } = await made.merge(chain);
    expect(documents.map(({ name, directory }) => [name, directory])).toEqual([
      ['sum', made.path('out/sum')],
      ['tall', made.path('out/tall')],
      [undefined, made.path('out/final')],
    ]);
    const of = (...parts: string[]) =>
      [0, 1].map((k) => numbers(made.output(...parts).get(`model.layers.${k}.w`)!)[0]);
    expect(of('sum')).toEqual([3, 30]);
    expect(of('tall')).toEqual([30, 7]);
    expect(of('final')).toEqual([33, 3 * 37]);
    const verified = await verify(made.path('out'));
    expect(verified.map(({ directory, problems }) => [directory, problems])).toEqual(
      ['final', 'sum', 'tall'].map((name) => [made.path(`out/${name}`), []]),
    );
    // They count as an output of ours as a whole.
    await made.merge(chain, { force: true });
    expect(readdirSync(made.path('out')).sort()).toEqual(['final', 'sum', 'tall']);
  });

  it('report progress up to the end of each', async () => {
    const made = await shop();
    const ends: [number, number][] = [];
    let last: Progress | undefined;
    await made.merge(chain, {
      onProgress: (progress) => {
        if (progress.phase === 'finish' && last?.phase === 'stream')
          ends.push([last.bytesDone, last.bytesTotal]);
        last = progress;
      },
    });
    // Two models of two numbers in F32 are read and one is written; a passthrough reads what it writes.
    expect(ends).toEqual([
      [24, 24],
      [16, 16],
      [24, 24],
    ]);
  });

  it('are planned with sizes from shapes, and errors in the last one come before the first is made', async () => {
    const made = await shop();
    const plan = await planMergeFile({ config: made.config(chain), out: made.path('out') });
    expect(
      plan.documents.map(({ name, bytesRead, bytesWritten }) => [name, bytesRead, bytesWritten >= 8]),
    ).toEqual([
      ['sum', 16, true],
      ['tall', 8, true],
      [undefined, 16, true],
    ]);
    expect(plan.disk!.needed).toBe(3 * 4096 + 4096);
    made.model('d', [f32('model.layers.0.w', [2], [1, 2]), f32('model.layers.1.w', [1], [1])]);
    await expect(made.merge(chain.replace('{model: sum}]', '{model: $/d}]'))).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      tensor: 'model.layers.0.w',
    });
    expect(existsSync(made.path('out'))).toBe(false);
  });
});

describe('beside the weights', () => {
  const text = `# by hand
merge_method: task_arithmetic
base_model: $/a
models: [{model: $/b, parameters: {weight: 0.5}}, {model: $/c, parameters: {weight: 1}}]
dtype: float16
`;

  it('are the donor’s files, the merge file, a card, a manifest', async () => {
    const made = await shop();
    const { documents } = await made.merge(text, { seed: 7, threads: 2 });
    const read = (name: string) => readFileSync(made.path(`out/${name}`), 'utf8');
    expect(readdirSync(made.path('out')).sort()).toEqual([
      'README.md',
      'config.json',
      'mergekit_config.yml',
      'model.safetensors',
      'vocab.txt',
      'wisemerge.json',
    ]);
    expect(read('mergekit_config.yml')).toBe(text.replaceAll('$', made.root));
    // Numbers keep their spelling.
    expect(read('config.json')).toMatch(/"dtype": "float16"/);
    expect(read('config.json')).toMatch(/0\.00001|1e-05/);
    expect(read('vocab.txt')).toBe('a');
    const card = read('README.md');
    expect(parse(/^---\n([\s\S]*?)\n---/.exec(card)![1]!)).toEqual({
      library_name: 'transformers',
      license: 'mit',
      base_model: ['b', 'c', 'a'],
      base_model_relation: 'merge',
      tags: ['merge', 'task_arithmetic', 'wisemerge'],
    });
    expect(card).toContain(text.replaceAll('$/', '').trimEnd());
    expect(card).toContain('wisemerge merge merge.yml out --random-seed 7 --threads 2\n');
    expect(card).not.toContain(made.root);
    const manifest = JSON.parse(read('wisemerge.json'));
    expect(manifest).toMatchObject({
      method: 'task_arithmetic',
      dtype: 'F16',
      seed: 7,
      models: [{ path: made.path('b') }, { path: made.path('c') }, { path: made.path('a') }],
      config: read('mergekit_config.yml'),
      parameters: 2,
      files: documents[0]!.files,
      command: `wisemerge merge ${made.path('merge.yml')} ${made.path('out')} --random-seed 7 --threads 2`,
    });
    expect((await verify(made.path('out')))[0]!.problems).toEqual([]);
  });

  it('num_hidden_layers follows the slices', async () => {
    const made = await shop();
    await made.merge(`merge_method: passthrough
slices: [{sources: [{model: $/a, layer_range: [0, 2]}]}, {sources: [{model: $/b, layer_range: [0, 2]}]}]
`);
    expect(JSON.parse(readFileSync(made.path('out/config.json'), 'utf8')).num_hidden_layers).toBe(4);
    expect([0, 1, 2, 3].map((k) => numbers(made.output().get(`model.layers.${k}.w`)!)[0])).toEqual([
      1, 10, 2, 20,
    ]);
  });
});
