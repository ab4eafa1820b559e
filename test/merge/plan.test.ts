import fs, { existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  assembleMoe,
  type MergeFilePlan,
  type MergePlan,
  type MoePlan,
  merge,
  mergeFile,
  planMerge,
  planMergeFile,
  planMoe,
} from '../../lib/index.js';
import { refusal } from '../../lib/merge/problems.js';
import { runCli } from '../support/cli.js';
import { writeModel } from '../support/models.js';
import { makePair } from '../support/pair.js';
import { tensor } from '../support/safetensors.js';
import { tempDir } from '../support/temp.js';

describe('the output in a plan', () => {
  const codes = ({ problems }: { problems: readonly { code: string }[] }) => problems.map(({ code }) => code);

  it('is among the problems where merge would refuse it, all at once', async () => {
    const { root, zeroshot, finetuned, out } = await makePair();
    const given = { zeroshot, finetuned, out, alpha: 0.5 };
    expect(codes(await planMerge(given))).toEqual([]);
    await merge(given);
    expect(codes(await planMerge(given))).toEqual(['ERR_OUTPUT_EXISTS']);
    expect(codes(await planMerge({ ...given, force: true }))).toEqual([]);
    const all = await planMerge({ ...given, alpha: 3, out: zeroshot, force: true });
    expect(codes(all)).toEqual(['ERR_ALPHA_RANGE', 'ERR_OUTPUT_IS_INPUT', 'ERR_OUTPUT_NOT_OURS']);
    expect(codes(await planMerge({ ...given, out: join(root, 'elsewhere') }))).toEqual([]);
  });

  it('is among those of a merge file, if there is one', async () => {
    const { root, zeroshot, finetuned, out } = await makePair();
    const config = join(await tempDir(), 'merge.yml');
    await writeFile(
      config,
      `merge_method: linear\nmodels:\n  - {model: ${zeroshot}, parameters: {weight: 1}}\n  - {model: ${finetuned}, parameters: {weight: 1}}\n`,
    );
    expect(codes(await planMergeFile({ config }))).toEqual([]);
    expect(codes(await planMergeFile({ config, out }))).toEqual([]);
    await mergeFile({ config, out });
    expect(codes(await planMergeFile({ config, out }))).toEqual(['ERR_OUTPUT_EXISTS']);
    expect(codes(await planMergeFile({ config, out, force: true }))).toEqual([]);
    expect(codes(await planMergeFile({ config, out: join(root, 'elsewhere') }))).toEqual([]);
  });
});

/** Plans of all kinds and their runs, of the same models. */
async function allPlans() {
  const root = await tempDir();
  const mlp = (part: string, shape: number[]) =>
    tensor(`model.layers.0.mlp.${part}_proj.weight`, 'F32', shape);
  const tensors = [mlp('gate', [6, 4]), mlp('up', [6, 4]), mlp('down', [4, 6])];
  const config = { model_type: 'llama', num_hidden_layers: 1 };
  const [a, b] = ['a', 'b'].map((name) => writeModel(join(root, name), tensors, { config }));
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(root, name), text);
    return join(root, name);
  };
  const file = await write('merge.yml', `merge_method: passthrough\nmodels: [{model: ${a}}]\n`);
  const moe = await write(
    'moe.yml',
    `base_model: ${a}\ngate_mode: random\nexperts: [{source_model: ${a}}, {source_model: ${b}}]\n`,
  );
  const pair = { zeroshot: a!, finetuned: b!, alpha: 0.5 };
  const kinds: [
    string,
    (out: string) => Promise<MergePlan | MergeFilePlan | MoePlan>,
    (out: string) => Promise<unknown>,
  ][] = [
    ['merge', (out) => planMerge({ ...pair, out }), (out) => merge({ ...pair, out })],
    ['file', (out) => planMergeFile({ config: file, out }), (out) => mergeFile({ config: file, out })],
    ['moe', (out) => planMoe({ config: moe, out }), (out) => assembleMoe({ config: moe, out })],
  ];
  return { root, moe, kinds };
}

describe('every plan and its run refuse the same output', () => {
  const places: [string, string, (out: string) => void][] = [
    ['a link to nowhere', 'ERR_OUTPUT_EXISTS', (out) => symlinkSync('nowhere', out)],
    [
      'a directory with something in it',
      'ERR_OUTPUT_EXISTS',
      (out) => mkdirSync(join(out, 'x'), { recursive: true }),
    ],
    ['a file', 'ERR_OUTPUT_EXISTS', (out) => writeFileSync(out, '')],
    [
      'a link where the output is written',
      'ERR_OUTPUT_EXISTS',
      (out) => symlinkSync('nowhere', join(dirname(out), `.${basename(out)}.wisemerge-tmp`)),
    ],
    [
      'an output that a cut replacement left aside',
      'ERR_OUTPUT_EXISTS',
      (out) => mkdirSync(join(dirname(out), `.${basename(out)}.wisemerge-old`, 'x'), { recursive: true }),
    ],
  ];

  it.each(places)('%s', async (_, code, put) => {
    const { root, kinds } = await allPlans();
    for (const [kind, plan, run] of kinds) {
      const out = join(root, kind);
      put(out);
      const { problems } = await plan(out);
      expect(problems, kind).toMatchObject([{ code }]);
      await expect(run(out), kind).rejects.toMatchObject({ code, message: problems[0]!.message });
    }
  });

  it('a mount point', async ({ skip }) => {
    const mount = '/dev/shm';
    if (!existsSync(mount) || statSync(mount).dev === statSync('/dev').dev) return skip(`no ${mount}`);
    const { kinds } = await allPlans();
    for (const [kind, plan, run] of kinds) {
      expect((await plan(mount)).problems, kind).toMatchObject([
        { code: 'ERR_OUTPUT_EXISTS', message: expect.stringContaining('mount point') },
      ]);
      await expect(run(mount), kind).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
    }
  });

  it('one for which there is no space', async () => {
    const { root, kinds, moe } = await allPlans();
    const { statfs } = fs.promises;
    onTestFinished(() => {
      fs.promises.statfs = statfs;
      syncBuiltinESMExports();
    });
    fs.promises.statfs = (async () => ({ bavail: 1, bsize: 512 })) as never;
    syncBuiltinESMExports();
    for (const [kind, plan, run] of kinds) {
      const { problems, disk } = await plan(join(root, kind));
      expect(disk!.free, kind).toBe(512);
      expect(problems, kind).toMatchObject([{ code: 'ERR_NO_SPACE', fix: expect.any(String) }]);
      await expect(run(join(root, kind)), kind).rejects.toMatchObject({
        code: 'ERR_NO_SPACE',
        message: problems[0]!.message,
      });
      expect(refusal(problems)).toMatchObject({ code: 'ERR_NO_SPACE' });
    }
    mkdirSync(join(root, 'taken', 'x'), { recursive: true });
    const { problems } = await planMoe({ config: moe, out: join(root, 'taken') });
    expect(problems.map(({ code }) => code)).toEqual(['ERR_OUTPUT_EXISTS', 'ERR_NO_SPACE']);
    expect(refusal(problems)).toMatchObject({ code: 'ERR_OUTPUT_EXISTS' });
  });

  it('on the command line, with its exit code', async () => {
    const { root, moe } = await allPlans();
    mkdirSync(join(root, 'taken', 'x'), { recursive: true });
    const text = await runCli(['moe', moe, join(root, 'taken'), '--plan']);
    expect(text).toMatchObject({ code: 2, stdout: expect.stringContaining('mixtral') });
    expect(text.stderr).toMatch(/taken exists/);
    const json = await runCli(['moe', moe, join(root, 'taken'), '--plan', '--json']);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout).problems).toMatchObject([{ code: 'ERR_OUTPUT_EXISTS' }]);
  });
});
