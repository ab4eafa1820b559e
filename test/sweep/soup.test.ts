// Greedy soups, against accuracies of means taken in the test.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AveragedCheckpoint, openIngredients } from '../../lib/eval/averaged-checkpoint.js';
import { openCheckpoint, type SoupOptions, soup, verify } from '../../lib/index.js';
import { mergeFile } from '../../lib/merge/many/merge-file.js';
import { Engine } from '../../lib/native.js';
import { runCli } from '../support/cli.js';
import { readModel, writeModel } from '../support/models.js';
import { randomWeights } from '../support/random.js';
import { tensor } from '../support/safetensors.js';
import { classes, dimension, heads, names } from '../support/soup-heads.js';
import { tempDir } from '../support/temp.js';

describe('a soup of heads', () => {
  it('is the one that the recipe makes of accuracies by the definition', async () => {
    const { options, accuracy } = await heads();
    const result = await soup(options);
    const alone = names.map((_, i) => accuracy('val', [i]));
    expect(result.scores).toEqual(alone.map((v) => expect.closeTo(v, 12)));
    // The recipe again, written out.
    const order = [...alone.keys()].sort((a, b) => alone[b]! - alone[a]! || a - b);
    let [members, best] = [[order[0]!], alone[order[0]!]!];
    for (const next of order.slice(1)) {
      const tried = [...members, next];
      const score = accuracy('val', tried);
      if (score >= best) [members, best] = [tried, score];
    }
    expect(result.order).toEqual(order);
    expect(result.members).toEqual(members.toSorted((a, b) => a - b));
    expect(result.score).toBeCloseTo(best, 12);
    expect(result.score).toBeGreaterThanOrEqual(Math.max(...alone));
    // Something is gained, and something left out: the case is not trivial.
    expect(members.length).toBeGreaterThan(1);
    expect(members).not.toContain(4);
    const all = [...names.keys()];
    const of = (set: string) => ({
      best: { top1: expect.closeTo(accuracy(set, [order[0]!]), 12) },
      soup: { top1: expect.closeTo(accuracy(set, members), 12) },
      uniform: { top1: expect.closeTo(accuracy(set, all), 12) },
    });
    expect(result.sets).toMatchObject([
      { name: 'val', role: 'select', samples: 300, ...of('val') },
      { name: 'test', role: 'report', samples: 200, ...of('test') },
    ]);
    expect(result.comparison).toMatchObject({
      sets: ['test'],
      difference: expect.closeTo(accuracy('test', members) - accuracy('test', [order[0]!]), 12),
      interval: { lower: expect.any(Number), upper: expect.any(Number) },
    });
  });

  it('is written as a model with a manifest, by a merge file that makes it again', async () => {
    const { root, options } = await heads();
    const { members } = await soup(options);
    const made = readModel(join(options.out, 'model'));
    expect(await verify(join(options.out, 'model'))).toMatchObject([{ problems: [] }]);
    const mean = new Float64Array(classes * dimension);
    for (const i of members) {
      const { data } = readModel(join(root, names[i]!)).get('head.weight')!;
      for (const e of mean.keys()) mean[e]! += data.readFloatLE(4 * e) / members.length;
    }
    const { data } = made.get('head.weight')!;
    for (const [e, value] of mean.entries()) expect(data.readFloatLE(4 * e)).toBeCloseTo(value, 6);
    await mergeFile({ config: join(options.out, 'soup.yml'), out: join(root, 'again') });
    expect(readModel(join(root, 'again')).get('head.weight')!.data.equals(data)).toBe(true);
  });

  it('does not look at report sets before the end', async () => {
    const { options } = await heads();
    const seen: string[] = [];
    await soup({ ...options, onProgress: ({ role }) => seen.push(role) });
    expect(seen.lastIndexOf('report')).toBe(seen.length - 1);
    const first = seen.indexOf('report');
    expect(seen.slice(0, first).every((role) => role === 'select')).toBe(true);
    // Report sets are for three models at most, however many were tried.
    expect(seen.filter((role) => role === 'report')).toHaveLength(3);
    const other = { ...options, sets: options.sets.map((set) => ({ ...set, role: 'report' as const })) };
    await expect(soup({ ...other, force: true })).rejects.toMatchObject({ code: 'ERR_REPORT_SET' });
  });

  it('goes on where it was stopped, and gives the same', async () => {
    const { options, root } = await heads();
    const whole = await soup(options);
    const lines = readFileSync(join(options.out, 'journal.jsonl'), 'utf8').trim().split('\n');
    const [cut, stop] = [join(root, 'cut'), new AbortController()];
    const stopped = soup({
      ...options,
      out: cut,
      signal: stop.signal,
      onProgress: ({ done }) => done === 4 && stop.abort(),
    });
    await expect(stopped).rejects.toThrow(/abort/);
    expect(readFileSync(join(cut, 'journal.jsonl'), 'utf8').trim().split('\n')).toHaveLength(5);
    await expect(soup({ ...options, out: cut })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    const other = soup({ ...options, out: cut, resume: true, rule: 'max-id' });
    await expect(other).rejects.toMatchObject({ code: 'ERR_SWEEP_CHANGED', message: /rule/ });
    const { seconds: _a, ...resumed } = await soup({ ...options, out: cut, resume: true });
    const { seconds: _b, ...expected } = whole;
    expect(resumed).toEqual(expected);
    expect(readFileSync(join(cut, 'journal.jsonl'), 'utf8').trim().split('\n')).toHaveLength(lines.length);
  });

  it('of one model is that model', async () => {
    const { options, root } = await heads();
    const result = await soup({ ...options, models: options.models.slice(0, 1) });
    expect(result).toMatchObject({ members: [0], steps: [], comparison: { difference: 0 } });
    const [made, given] = [readModel(join(options.out, 'model')), readModel(join(root, 'm0'))];
    expect(made.get('head.weight')!.data.equals(given.get('head.weight')!.data)).toBe(true);
  });
});

describe('a mean in memory', () => {
  it('has the bits of the soup that is written, in f32', async () => {
    const root = await tempDir();
    const models = [1, 2, 3].map((seed) =>
      writeModel(join(root, `m${seed}`), [
        tensor('a.weight', 'F32', [70, 50], randomWeights(3500, seed)),
        tensor('same', 'F32', [9], randomWeights(9, 77)),
        tensor('n', 'I32', [2], Int32Array.of(4, 5)),
      ]),
    );
    const config = join(root, 'soup.yml');
    writeFileSync(
      config,
      `merge_method: uniform_soup\nmodels:\n${models.map((m) => `  - model: ${m}\n`).join('')}`,
    );
    await mergeFile({ config, out: join(root, 'out') });
    const written = readModel(join(root, 'out'));
    using engine = new Engine();
    const ingredients = await openIngredients(await Promise.all(models.map((path) => openCheckpoint(path))));
    const mean = new AveragedCheckpoint(ingredients[0]!.checkpoint, ingredients, engine);
    for (const [name, { data }] of written)
      expect(Buffer.from(await mean.readTensor(name)).equals(data), name).toBe(true);
    const part = await mean.readTensorRange('a.weight', 400, 1200);
    expect(Buffer.from(part).equals(written.get('a.weight')!.data.subarray(400, 1600))).toBe(true);
    // What is equal in all stays as it is.
    expect(written.get('same')!.data.equals(readModel(models[0]!).get('same')!.data)).toBe(true);
    await mean.close();
  });
});

describe('soups by the user’s own evaluation', () => {
  it('go through a command on models that are written for it, and removed', async () => {
    const { root, options } = await heads();
    const script = join(root, 'eval.mjs');
    writeFileSync(
      script,
      `import { readFileSync } from 'node:fs';
const file = readFileSync(process.argv[2] + '/model.safetensors');
const start = 8 + Number(file.readBigUInt64LE(0));
console.log(JSON.stringify({ val: Math.min(1, Math.abs(file.readFloatLE(start))), test: 0.5 }));`,
    );
    const sets = options.sets.map(({ name, role, kind }) => ({ name, role, kind }));
    const command = [process.execPath, script, '{model}'];
    const result = await soup({ ...options, sets, command });
    const first = names.map((name) => readModel(join(root, name)).get('head.weight')!.data.readFloatLE(0));
    expect(result.scores).toEqual(first.map((v) => expect.closeTo(Math.min(1, Math.abs(v)), 6)));
    expect(readdirSync(options.out).sort()).toEqual(['journal.jsonl', 'model', 'soup.json', 'soup.yml']);
    expect(result.comparison).toMatchObject({ interval: null, difference: 0 });
    writeFileSync(join(options.out, 'model', 'eval.json'), '{}');
    await expect(
      soup({ ...options, sets, command: ['false', '{model}'], force: true }),
    ).rejects.toMatchObject({
      code: 'ERR_OUTPUT_NOT_OURS',
      details: { strangers: ['eval.json'] },
    });
    rmSync(join(options.out, 'model', 'eval.json'));
    rmSync(script);
    const before = readModel(join(options.out, 'model'));
    const failing = soup({ ...options, sets, command, force: true });
    await expect(failing).rejects.toMatchObject({
      code: 'ERR_EVALUATION',
      message: /^model 0: /,
      hint: expect.stringContaining('by hand on one of the models'),
    });
    // Nothing was evaluated: the earlier soup is there again.
    expect(readdirSync(options.out).sort()).toEqual(['journal.jsonl', 'model', 'soup.json', 'soup.yml']);
    expect(readModel(join(options.out, 'model'))).toEqual(before);
    expect(await soup({ ...options, sets, command, resume: true })).toEqual(result);
  });

  it('go through a command on directories, where models are single files', async () => {
    const { root, options } = await heads();
    const script = join(root, 'eval.mjs');
    writeFileSync(
      script,
      `import { appendFileSync, readdirSync } from 'node:fs';
appendFileSync(${JSON.stringify(join(root, 'seen'))}, process.argv[2] + '\\n');
console.log(JSON.stringify({ val: readdirSync(process.argv[2]).includes('model.safetensors') ? 0.5 : 0 }));`,
    );
    const result = await soup({
      ...options,
      models: options.models.map((model, i) => (i === 0 ? model : join(model, 'model.safetensors'))),
      sets: [{ name: 'val', role: 'select', kind: 'id' }],
      command: [process.execPath, script, '{model}'],
    });
    expect(result.scores).toEqual(names.map(() => 0.5));
    const seen = readFileSync(join(root, 'seen'), 'utf8').split('\n');
    expect(seen.slice(0, 2)).toEqual([options.models[0], join(options.out, 'candidates', 'soup_1')]);
    expect(existsSync(join(options.out, 'candidates'))).toBe(false);
  });

  it('go through a function that reads the mean', async () => {
    const { root, options } = await heads();
    const seen: (readonly string[])[] = [];
    const result = await soup({
      ...options,
      sets: [{ name: 'val', role: 'select', kind: 'id' }],
      evaluate: async ({ models, tensors, readTensor, save }) => {
        seen.push(models);
        expect(tensors).toEqual([{ name: 'head.weight', dtype: 'F32', shape: [classes, dimension] }]);
        const data = Buffer.from(await readTensor('head.weight'));
        if (seen.length === 6) {
          await save(join(root, 'saved'));
          expect(readModel(join(root, 'saved')).get('head.weight')!.data.equals(data)).toBe(true);
        }
        return { val: 0.5 };
      },
    });
    expect(result.members).toEqual([0, 1, 2, 3, 4]);
    expect(seen[5]).toEqual(options.models.slice(0, 2));
    expect(existsSync(join(root, 'saved'))).toBe(true);
  });
});

describe('soups are refused', () => {
  it.each<[string, (options: SoupOptions) => Partial<SoupOptions>, string, RegExp]>([
    ['a rule that compares', () => ({ rule: 'one-se' }), 'ERR_USAGE', /does not score one model by itself/],
    ['a bound on ID', () => ({ rule: 'max-shift:id-within=0.01' }), 'ERR_USAGE', /does not score one model/],
    ['a rule without its set', () => ({ rule: 'max-shift' }), 'ERR_USAGE', /needs a shift set/],
    [
      'a model twice',
      ({ models }) => ({ models: [...models, models[0]!] }),
      'ERR_SWEEP_FILE',
      /listed twice/,
    ],
    ['no models', () => ({ models: [] }), 'ERR_SWEEP_FILE', /models/],
    ['heads of other numbers', () => ({ heads: ['x'] }), 'ERR_SWEEP_FILE', /1 heads for 5 models/],
    ['an unknown key', () => ({ model: 'x' }) as never, 'ERR_SWEEP_FILE', /model/],
  ])('for %s', async (_name, change, code, message) => {
    const { options } = await heads();
    await expect(soup({ ...options, ...change(options) })).rejects.toMatchObject({ code, message });
    expect(existsSync(options.out)).toBe(false);
  });

  it('for models of different shapes, all of them at once', async () => {
    const { root, options } = await heads();
    for (const name of ['m2', 'm3']) {
      writeModel(join(root, name), [tensor('head.weight', 'F32', [classes, 3])], {
        config: { model_type: 'x' },
      });
    }
    await expect(soup(options)).rejects.toMatchObject({
      code: 'ERR_INCOMPATIBLE',
      details: { problems: [{ code: 'ERR_SHAPE_MISMATCH' }, { code: 'ERR_SHAPE_MISMATCH' }] },
    });
  });
});

describe('wisemerge soup', () => {
  it('prints what was tried, and one object with --json', async () => {
    const { options } = await heads();
    const { models, sets, out } = options;
    const flags = sets.flatMap(({ name, role, kind, features, labels }) => [
      '--set',
      `${name}:${role}:${kind}=${features},${labels}`,
    ]);
    const args = ['soup', '--models', ...models, ...flags, '--out', out];
    const text = await runCli(args);
    expect(text.code, text.stderr).toBe(0);
    expect(text.stdout).toMatch(/^model +alone +soup with it\n/);
    expect(text.stdout).toMatch(/4 m4 .* left out/);
    expect(text.stdout).toMatch(/On test the soup is .* pp from the best model/);
    const json = await runCli([...args, '--resume', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ format: 'wisemerge-soup', model: 'model' });
    const missing = await runCli(['soup', '--models', models[0]!, '--out', out]);
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('a soup needs --set')]);
  });
});
