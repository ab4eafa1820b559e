import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors.js';
import type { TrainingSet } from '../../lib/train/options.js';
import { runCli, startCli } from '../support/cli.js';
import { noise } from '../support/heads.js';
import { project as imageProject } from '../support/image-project.js';
import { contents, listFiles, readModel } from '../support/models.js';
import { fixture } from '../support/networks.js';
import { tempDir } from '../support/temp.js';
import { headTensors, mlpTensors, separable, trainingProject } from '../support/training.js';

async function writeSet(path: string, set: TrainingSet): Promise<string[]> {
  const data = new Uint8Array(4 * set.samples * set.dimension);
  await set.readFeatures(0, set.samples, data);
  await writeSafetensors(path, [
    { name: 'features', dtype: 'F32', shape: [set.samples, set.dimension], data },
    { name: 'labels', dtype: 'I32', shape: [set.samples], data: new Uint8Array(set.labels.buffer) },
  ]);
  return [`${path}:features`, `${path}:labels`];
}

async function project(samples = 203) {
  const { root, zeroshot, out } = await trainingProject(mlpTensors([12, 20, 4]));
  const [features, labels] = await writeSet(join(root, 'train.safetensors'), separable(samples, 4, 12));
  const [held, heldLabels] = await writeSet(join(root, 'held.safetensors'), separable(60, 4, 12, 2));
  const args = [
    'finetune',
    '--zeroshot',
    zeroshot,
    '--features',
    features!,
    '--labels',
    labels!,
    '--out',
    out,
  ];
  const heldOut = ['--held-out-features', held!, '--held-out-labels', heldLabels!];
  return { root, zeroshot, out, args, heldOut };
}

describe('wisemerge finetune', () => {
  test('trains a ViT on pictures', async () => {
    const root = await tempDir();
    const zeroshot = fixture('vit-tiny/zeroshot');
    const random = noise(3);
    const data = Float32Array.from({ length: 12 * 3 * 32 * 32 }, () => random());
    const set = join(root, 'set.safetensors');
    await writeSafetensors(set, [
      { name: 'pixel_values', dtype: 'F32', shape: [12, 3, 32, 32], data: new Uint8Array(data.buffer) },
      { name: 'labels', dtype: 'I32', shape: [12], data: new Uint8Array(new Int32Array(12).buffer) },
    ]);
    const out = join(root, 'out');
    const args = ['finetune', '--zeroshot', zeroshot, '--out', out, '--epochs', '2', '--batch-size', '5'];
    const files = ['--features', `${set}:pixel_values`, '--labels', `${set}:labels`];
    const { code, stderr } = await runCli([...args, ...files]);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/trained 56 tensors: [\d, ]+ parameters, on (cpu|cuda:0);/);
    expect([...readModel(join(out, 'epoch_0002')).keys()].sort()).toEqual(
      [...readModel(zeroshot).keys()].sort(),
    );
  });

  test('trains, tells how it went, and merge goes on from it', async () => {
    const { root, zeroshot, out, args, heldOut } = await project();
    const flags = [
      '--epochs',
      '8',
      '--batch-size',
      '32',
      '--lr',
      '1e-2',
      '--label-smoothing',
      '0.05',
      '--balanced',
    ];
    const { code, stdout, stderr } = await runCli([...args, ...heldOut, ...flags]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^epoch +loss +top-1 +learning rate +held-out loss +held-out top-1\n0 /);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(join(out, 'epoch_0008'));
    expect(stderr).toMatch(/epoch 8: loss .*; held out: loss .*, top-1 100 %\n/);
    expect(stderr).toContain('trained 6 tensors: 384 parameters, on cpu;');

    const merged = join(root, 'merged');
    const ends = ['--zeroshot', zeroshot, '--finetuned', join(out, 'epoch_0008')];
    expect((await runCli(['merge', ...ends, '--alpha', '0.5', '--out', merged])).code).toBe(0);
    expect([...readModel(merged).keys()]).toEqual([...readModel(zeroshot).keys()]);
    expect(listFiles(merged).filter((file) => file.startsWith('training'))).toEqual([]);
    expect((await runCli(['verify', out])).code).toBe(0);
  });

  test('the recorded command makes the same weights again', async () => {
    const { root, out, args, heldOut } = await project();
    const first = await runCli([...args, ...heldOut, '--epochs', '2', '--seed', '3', '--json', '--quiet']);
    expect(first.stderr).toBe('');
    const result = JSON.parse(first.stdout);
    expect(result).toMatchObject({ resumed: 0, parameters: 384, epochs: [{ epoch: 1 }, { epoch: 2 }] });
    const manifest = JSON.parse(readFileSync(join(result.directory, 'wisemerge.json'), 'utf8'));
    expect(manifest).toMatchObject({ method: 'finetune', training: { epochs: result.epochs } });
    const words: string[] = manifest.command.split(' ').slice(1);
    const again = join(root, 'again');
    const second = await runCli(words.map((word) => (word === out ? again : word)));
    expect(second.code, second.stderr).toBe(0);
    expect(contents(readModel(join(again, 'epoch_0002')))).toEqual(contents(readModel(result.directory)));
  });

  test('the recorded command names the classes of images in the same order', async () => {
    const { directory } = await imageProject('vit-tiny');
    const names = join(directory, 'names.txt');
    await writeFile(names, Array.from({ length: 10 }, (_, c) => `class${9 - c}\n`).join(''));
    const out = join(directory, 'trained');
    const images = ['--images', join(directory, 'shift'), '--class-names', names];
    const args = ['finetune', '--zeroshot', join(directory, 'zeroshot'), ...images, '--out', out];
    const first = await runCli([...args, '--epochs', '1', '--device', 'cpu', '--force']);
    expect(first.code, first.stderr).toBe(0);
    const epoch = join(out, 'epoch_0001');
    const { command } = JSON.parse(readFileSync(join(epoch, 'wisemerge.json'), 'utf8'));
    expect(command).toContain(`--class-names ${names} `);
    expect(command).toMatch(/ --force$/);
    const trained = contents(readModel(epoch));
    const second = await runCli(command.split(' ').slice(1));
    expect(second.code, second.stderr).toBe(0);
    expect(contents(readModel(epoch))).toEqual(trained);
  });

  test('a run that was interrupted goes on', async () => {
    const { out, args } = await project(20_000);
    const flags = ['--epochs', '40', '--batch-size', '16'];
    const { child, done } = startCli([...args, ...flags]);
    let stderr = '';
    await new Promise<void>((resolve) => {
      child.stderr!.on('data', (text: string) => {
        stderr += text;
        if (stderr.includes('epoch 2:')) resolve();
      });
      child.on('close', () => resolve());
    });
    child.kill('SIGINT');
    const stopped = await done;
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(stopped.stderr).toMatch(/interrupted; complete up to epoch \d+ \(ERR_ABORTED\)\n.*--resume/);
    const complete = listFiles(out).filter((file) => file.endsWith('wisemerge.json')).length;
    expect(complete).toBeLessThan(40);
    expect(listFiles(out).some((file) => file.includes('tmp'))).toBe(false);
    const changed = await runCli([...args, '--batch-size', '16', '--epochs', '41', '--resume']);
    expect(changed).toMatchObject({ code: 2, stderr: expect.stringMatching(/begun with other epochs/) });
  });

  const wrong: [string, string[], number, RegExp][] = [
    ['a rate below 0', ['--lr', '-1'], 2, /Write a number from 0/],
    [
      'too much smoothing',
      ['--label-smoothing', '1'],
      2,
      /labelSmoothing: must be a number from 0 to below 1/,
    ],
    ['half a held-out set', ['--held-out-features', 'x.npy'], 2, /needs both --held-out-features/],
    ['an activation', ['--activation', 'tanh'], 2, /gelu, relu/],
    ['a warm-up without an end', ['--warmup', '20'], 2, /leave nothing of the 20 steps/],
    ['a divergence', ['--lr', '1', '--weight-decay', '1e30'], 2, /ERR_DIVERGED.*\n.*--lr/],
    ['features that are not there', ['--features', 'absent.npy'], 5, /absent\.npy/],
  ];
  test.each(wrong)('%s is refused', async (_name, flags, code, text) => {
    const { out, args } = await project();
    const own = args.filter((_, i) => args[i]! !== flags[0] && args[i - 1] !== flags[0]);
    const result = await runCli([...own, ...flags]);
    expect(result.code, result.stderr).toBe(code);
    expect(result.stderr).toMatch(text);
    expect(existsSync(out)).toBe(false);
  });

  test('features of another width are refused before any work', async () => {
    const { out, args, zeroshot, root } = await project();
    const other = await trainingProject(headTensors(4, 9));
    const result = await runCli(args.map((word) => (word === zeroshot ? other.zeroshot : word)));
    expect(result.code).toBe(3);
    expect(result.stderr).toMatch(/features of 12 numbers; head\.weight takes 9 \(ERR_DATA_MISMATCH\)/);
    expect(result.stderr).toContain(root);
    expect(existsSync(out)).toBe(false);
  });
});
