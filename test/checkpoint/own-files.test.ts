// What is in an output and was not written by wisemerge is never replaced with it.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OutputTransaction } from '../../lib/checkpoint/transaction.js';
import { finetune, merge, mergeFile, type Progress, planMerge } from '../../lib/index.js';
import { listFiles } from '../support/models.js';
import { makePair, type Pair } from '../support/pair.js';
import { headTensors, trainingProject } from '../support/training.js';

const run = (pair: Pair, options: object = {}) => {
  const { zeroshot, finetuned, out } = pair;
  return merge({ zeroshot, finetuned, alpha: 0.5, out, ...options });
};

const add = (pair: Pair, ...names: string[]): void => {
  for (const name of names) {
    mkdirSync(dirname(join(pair.out, name)), { recursive: true });
    writeFileSync(join(pair.out, name), 'mine');
  }
};

const manifestOf = (directory: string) => JSON.parse(readFileSync(join(directory, 'wisemerge.json'), 'utf8'));

/** Refused with `force`, with these names and nothing changed. */
async function expectRefusal(pair: Pair, strangers: string[]): Promise<void> {
  const before = listFiles(pair.out);
  await expect(run(pair, { force: true })).rejects.toMatchObject({
    code: 'ERR_OUTPUT_NOT_OURS',
    file: pair.out,
    message: expect.stringContaining(`did not write: ${strangers.slice(0, 5).join(', ')}`),
    hint: expect.stringMatching(/Move the rest elsewhere/),
    details: { strangers },
  });
  const { zeroshot, finetuned, out } = pair;
  const { problems } = await planMerge({ zeroshot, finetuned, alpha: 0.5, out, force: true });
  expect(problems).toMatchObject([{ code: 'ERR_OUTPUT_NOT_OURS' }]);
  expect(listFiles(pair.out)).toEqual(before);
}

describe('a manifest', () => {
  it('names everything that was written beside the weights', async () => {
    const pair = await makePair();
    add({ ...pair, out: pair.zeroshot }, 'tokenizer.json', 'onnx/config.json');
    await run(pair, { shardSize: 2000 });
    const { files, companions } = manifestOf(pair.out);
    expect(
      [...files.map(({ name }: { name: string }) => name), ...companions, 'wisemerge.json'].sort(),
    ).toEqual(listFiles(pair.out));
    expect(companions).toContain('onnx/config.json');
  });

  it('of a merge file does so too, in the directory of each document', async () => {
    const pair = await makePair();
    const config = join(pair.root, 'merge.yml');
    const linear = `merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: ${pair.zeroshot}}, {model: ${pair.finetuned}}]\n`;
    writeFileSync(config, `name: first\n${linear}---\nname: second\n${linear}`);
    const given = { config, out: pair.out };
    await mergeFile(given);
    expect(manifestOf(join(pair.out, 'first')).companions).toEqual([
      'README.md',
      'config.json',
      'mergekit_config.yml',
    ]);
    await mergeFile({ ...given, force: true });
    add(pair, 'second/eval.json');
    await expect(mergeFile({ ...given, force: true })).rejects.toMatchObject({
      details: { strangers: ['second/eval.json'] },
    });
  });
});

describe('with force', () => {
  it('files of someone else in an output are named, and stay', async () => {
    const pair = await makePair();
    await run(pair);
    add(pair, 'notes.txt', 'evals/a/b.json', 'evals/c.json', 'model.gguf');
    await expectRefusal(pair, ['evals/', 'model.gguf', 'notes.txt']);
  });

  it('a directory that has files of ours is looked into', async () => {
    const pair = await makePair();
    add({ ...pair, out: pair.zeroshot }, 'onnx/config.json');
    await run(pair);
    add(pair, 'onnx/model.onnx');
    await expectRefusal(pair, ['onnx/model.onnx']);
  });

  it('a directory that has the name of a file of ours is not ours', async () => {
    const pair = await makePair();
    await run(pair);
    rmSync(join(pair.out, 'config.json'));
    add(pair, 'config.json/notes.txt');
    await expectRefusal(pair, ['config.json/']);
  });

  it('files of someone else among several outputs are named, and stay', async () => {
    const pair = await makePair();
    await run(pair, { alpha: [0, 1] });
    add(pair, 'results.csv', 'alpha_1.0000/notes.txt');
    await expectRefusal(pair, ['results.csv', 'alpha_1.0000/notes.txt']);
  });

  it('another output inside of one counts as a stranger', async () => {
    const pair = await makePair();
    await run(pair);
    await run(pair, { out: join(pair.out, 'other') });
    await expectRefusal(pair, ['other/']);
  });

  it('the first five are named, and how many more there are', async () => {
    const pair = await makePair();
    await run(pair);
    add(pair, ...Array.from({ length: 7 }, (_, i) => `${i}.txt`));
    await expect(run(pair, { force: true })).rejects.toThrow(/0\.txt, .*4\.txt and 2 more$/);
  });

  it('ours are replaced though they were edited or removed, and with what a killed run left', async () => {
    const pair = await makePair();
    await run(pair);
    appendFileSync(join(pair.out, 'README.md'), 'More.');
    rmSync(join(pair.out, 'config.json'));
    mkdirSync(join(pair.out, 'empty'));
    add(pair, '.x.wisemerge-tmp/half');
    const killed = { pid: 2 ** 22 + 1, host: hostname() };
    writeFileSync(join(pair.out, '.x.wisemerge-tmp/.owner.json'), JSON.stringify(killed));
    await run(pair, { alpha: 0.25, force: true });
    expect(manifestOf(pair.out).alpha).toBe(0.25);
    expect(existsSync(join(pair.out, 'empty'))).toBe(false);
  });

  it('a directory in which another run writes is busy, before any work and at its end', async () => {
    const pair = await makePair();
    await run(pair, { alpha: [0, 1] });
    const writing = () => OutputTransaction.begin(join(pair.out, 'alpha_0.5000'));
    const busy = {
      code: 'ERR_OUTPUT_BUSY',
      file: join(pair.out, '.alpha_0.5000.wisemerge-tmp'),
    };
    const other = await writing();
    await expect(run(pair, { force: true })).rejects.toMatchObject(busy);
    await other.rollback();
    let late: Promise<OutputTransaction> | undefined;
    const onProgress = ({ phase }: Progress) => {
      if (phase === 'stream') late ??= writing();
    };
    await expect(run(pair, { force: true, onProgress })).rejects.toMatchObject(busy);
    await (await late!).rollback();
    expect(readdirSync(pair.out)).toEqual(['alpha_0.0000', 'alpha_1.0000']);
    await run(pair, { alpha: 0.25, force: true });
    expect(manifestOf(pair.out).alpha).toBe(0.25);
  });

  it('an output whose manifest does not say what was written is replaced as a whole', async () => {
    const pair = await makePair();
    await run(pair);
    const { companions: _, ...earlier } = manifestOf(pair.out);
    writeFileSync(join(pair.out, 'wisemerge.json'), JSON.stringify(earlier));
    add(pair, 'unknown.json');
    await run(pair, { force: true });
    expect(listFiles(pair.out)).not.toContain('unknown.json');
  });
});

describe('with force, a directory of outputs', () => {
  const renamed = (pair: Pair, from: string, to: string) =>
    renameSync(join(pair.out, from), join(pair.out, to));

  /** Refused with these names, and nothing changed. */
  async function expectSeveral(pair: Pair, outputs: string[]): Promise<void> {
    const before = listFiles(pair.out);
    for (const alpha of [0.5, [0, 1]]) {
      await expect(run(pair, { alpha, force: true })).rejects.toMatchObject({
        code: 'ERR_OUTPUT_NOT_OURS',
        file: pair.out,
        message: `${pair.out} is not an output itself, but holds outputs of wisemerge: ${outputs.map((name) => `${name}/`).join(', ')}`,
        hint: expect.stringContaining('Name a directory in it'),
        details: { outputs },
      });
    }
    expect(listFiles(pair.out)).toEqual(before);
  }

  it('of several commands is not replaced for one', async () => {
    const pair = await makePair();
    for (const name of ['chat', 'mix']) await run(pair, { out: join(pair.out, name) });
    await run(pair, { alpha: [0, 1], out: join(pair.out, 'several') });
    await expectSeveral(pair, ['chat', 'mix']);
  });

  it('is not replaced for the one output in it', async () => {
    const pair = await makePair();
    await run(pair, { out: join(pair.out, 'chat') });
    await expectSeveral(pair, ['chat']);
  });

  it('of two merges is not replaced for one of them, nor where one has another name by now', async () => {
    const pair = await makePair();
    for (const name of ['alpha_0.1000', 'alpha_0.2000']) await run(pair, { out: join(pair.out, name) });
    await expectSeveral(pair, ['alpha_0.1000', 'alpha_0.2000']);
    const second = await makePair();
    await run(second, { alpha: [0, 1] });
    renamed(second, 'alpha_1.0000', 'best');
    await expectSeveral(second, ['alpha_0.0000', 'best']);
  });

  it('of one merge or merge file is replaced, and epochs are not by a merge', async () => {
    const pair = await makePair();
    await run(pair, { alpha: [0, 1] });
    writeFileSync(join(pair.out, 'alpha_0.0000/wisemerge.json'), '{');
    await run(pair, { alpha: [0.25, 0.75], force: true });
    expect(readdirSync(pair.out)).toEqual(['alpha_0.2500', 'alpha_0.7500']);
    const { root: _, ...project } = await trainingProject(headTensors(4, 12));
    await finetune({ ...project, epochs: 2 });
    await expect(run(pair, { out: project.out, force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_NOT_OURS',
      message: `${project.out} was written by wisemerge finetune, not by wisemerge merge`,
      hint: expect.stringContaining('of the same command'),
    });
    await expect(finetune({ ...project, out: pair.out, force: true })).rejects.toMatchObject({
      message: `${pair.out} was written by wisemerge merge, not by wisemerge finetune`,
    });
    await finetune({ ...project, epochs: 1, force: true });
    expect(readdirSync(project.out)).toEqual(['epoch_0001']);
    const alone = join(project.out, 'epoch_0001');
    await expect(run(pair, { out: alone, force: true })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_NOT_OURS',
    });
  });
});
