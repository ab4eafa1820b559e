// Repositories in the Hub's cache wherever a model or an adapter may be named.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { assembleMoe, extractLora, planMoe } from '../../../lib/index.js';
import { runCli } from '../../support/cli.js';
import { f32, numbers, Workshop } from '../../support/merge-file.js';
import { tempDir } from '../../support/temp.js';

const commit = 'a'.repeat(40);
const layer = (change: number) => [
  f32('model.layers.0.mlp.gate_proj.weight', [4, 2], [1, 2, 3, 4, 5, 6, 7, 8]),
  f32('model.layers.0.mlp.up_proj.weight', [4, 2], [1, 2, 3, 4, 5, 6, 7, 8 + change]),
  f32('model.layers.0.mlp.down_proj.weight', [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]),
];

/** `base`; in the cache org/tuned, a model, and org/adapter, its difference from the base. */
async function shop(): Promise<Workshop & { readonly cache: string }> {
  const made = new Workshop(await tempDir());
  const config = { model_type: 'llama', num_hidden_layers: 1 };
  made.model('base', layer(0), { config });
  made.model('tuned', layer(4), { config });
  const paths = { base: made.path('base'), finetuned: made.path('tuned') };
  await extractLora({ ...paths, rank: 1, out: made.path('adapter') });
  const cache = made.path('cache');
  for (const name of ['tuned', 'adapter']) {
    const repository = join(cache, `models--org--${name}`);
    const reference = join(repository, 'refs', 'main');
    mkdirSync(dirname(reference), { recursive: true });
    writeFileSync(reference, commit);
    cpSync(made.path(name), join(repository, 'snapshots', commit), { recursive: true });
  }
  return Object.assign(made, { cache });
}

it('an adapter of an earlier document’s result is found there', async () => {
  const made = await shop();
  const text =
    'name: step\nmerge_method: passthrough\nmodels: [{model: $/base}]\n---\nmerge_method: passthrough\nmodels: [{model: step+org/adapter}]\n';
  await made.merge(text, { cache: made.cache });
  const up = numbers(made.output('final').get('model.layers.0.mlp.up_proj.weight')!);
  expect(up.at(-1)).toBeCloseTo(12, 5);
});

it.each(['org/tuned', `org/tuned@${commit}`, 'BASE+org/adapter'])(
  '%s is an expert of a mixture',
  async (reference) => {
    const made = await shop();
    const expert = reference.replace('BASE', made.path('base'));
    const config = made.config(
      `base_model: $/base\ngate_mode: random\nexperts: [{source_model: $/base}, {source_model: ${expert}}]\n`,
    );
    const { cache } = made;
    await assembleMoe({ config, out: made.path('out'), cache });
    const up = made.output().get('model.layers.0.block_sparse_moe.experts.1.w3.weight')!;
    expect(numbers(up).at(-1)).toBeCloseTo(12, 5);
    const { command } = JSON.parse(readFileSync(made.path('out/wisemerge.json'), 'utf8'));
    expect(command).toBe(`wisemerge moe ${config} ${made.path('out')} --transformers-cache ${cache}`);
    // Where its client keeps them, too.
    vi.stubEnv('HF_HUB_CACHE', cache);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    expect((await planMoe({ config, out: made.path('again') })).experts[1]).toBe(expert);
  },
);

it('wisemerge moe takes the cache by flag', async () => {
  const made = await shop();
  const config = made.config(
    'base_model: org/tuned\ngate_mode: random\nexperts: [{source_model: org/tuned}, {source_model: $/base}]\n',
  );
  const run = (...flags: string[]) =>
    runCli(['moe', config, made.path('out'), '--plan', '--json', ...flags], {
      env: { HF_HUB_CACHE: made.path('nowhere') },
    });
  const found = await run('--transformers-cache', made.cache);
  expect(found.code, found.stderr).toBe(0);
  expect(JSON.parse(found.stdout)).toMatchObject({ base: 'org/tuned' });
  const missing = await run();
  expect([missing.code, missing.stdout]).toEqual([3, expect.stringContaining('in the cache')]);
  expect(JSON.parse(missing.stdout).error.details.problems, 'of a model that is named twice').toHaveLength(1);
});
