// Fine-tuning on folders of images, against the same on arrays of the same pixels.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ImageLoader } from '../../lib/eval/images/image-loader.js';
import { openImageSet } from '../../lib/eval/images/image-set.js';
import { readImageTransform } from '../../lib/eval/images/transform-file.js';
import { finetune } from '../../lib/train/finetune.js';
import type { TrainingSet } from '../../lib/train/options.js';
import { openTrainingImages } from '../../lib/train/training-images.js';
import { runCli } from '../support/cli.js';
import { classes, project, size } from '../support/image-project.js';
import { contents, readModel, writeModel } from '../support/models.js';
import { randomF32 } from '../support/random.js';
import { tensor } from '../support/safetensors.js';

const pixels = 3 * size * size;

/** All images of a directory, by the loader alone. */
async function decoded(zeroshot: string, images: string): Promise<TrainingSet & { data: Float32Array }> {
  const set = await openImageSet({ images });
  const samples = set.files.length;
  const data = new Float32Array(samples * pixels);
  await using loader = new ImageLoader(set, await readImageTransform(zeroshot), { batch: samples });
  await loader.next(data);
  const bytes = new Uint8Array(data.buffer);
  return {
    ...{ samples, dimension: pixels, shape: [3, size, size], featureDtype: 'F32', labels: set.labels, data },
    readFeatures: async (first, count, into) => {
      into.set(bytes.subarray(4 * first * pixels, 4 * (first + count) * pixels));
    },
  };
}

describe('images to train on', () => {
  test('are those of the loader, in any order', async () => {
    const { directory, options } = await project('vit-tiny');
    const images = join(directory, 'val');
    const { zeroshot } = options;
    const { data, labels, samples } = await decoded(zeroshot, images);
    const set = await openTrainingImages({ zeroshot, images, threads: 2 });
    expect(set).toMatchObject({ samples, dimension: pixels, shape: [3, size, size], featureDtype: 'F32' });
    expect(set.labels).toEqual(labels);
    for (const [first, count] of [
      [0, 5],
      [5, 30],
      [2, 3],
      [5, 1],
      [samples - 4, 4],
      [0, 1],
    ] as const) {
      const into = new Uint8Array(4 * count * pixels);
      await set.readFeatures(first, count, into);
      expect(new Float32Array(into.buffer)).toEqual(data.subarray(first * pixels, (first + count) * pixels));
    }
    await set.close();
  });

  test('train CLIP with a head to the bytes that their pixels as an array give', async () => {
    const { directory, options } = await project('clip-tiny');
    const images = join(directory, 'shift');
    const stored = [...readModel(options.zeroshot).values()];
    const head = tensor('classifier.weight', 'F32', [classes, 24], randomF32(24 * classes, 4));
    const zeroshot = writeModel(join(directory, 'clip'), [...stored, head], {
      config: JSON.parse(await readFile(join(options.zeroshot, 'config.json'), 'utf8')),
    });
    const preprocessor = await readFile(join(options.zeroshot, 'preprocessor_config.json'));
    await writeFile(join(zeroshot, 'preprocessor_config.json'), preprocessor);
    const given = { zeroshot, epochs: 1, batchSize: 8, lr: 1e-3 };
    const opened = await openTrainingImages({ zeroshot, images });
    const byImages = await finetune({ ...given, train: opened, out: join(directory, 'images') });
    const arrays = await decoded(zeroshot, images);
    const byArrays = await finetune({ ...given, train: arrays, out: join(directory, 'arrays') });
    expect(byImages.epochs).toEqual(byArrays.epochs);
    expect(byImages.trained).toContain('classifier.weight');
    expect(contents(readModel(byImages.directory))).toEqual(contents(readModel(byArrays.directory)));
  });
});

describe('wisemerge finetune --images', () => {
  test('trains on a folder and watches another, with the classes of the first', async () => {
    const { directory, options } = await project('vit-tiny');
    const out = join(directory, 'out');
    const args = ['finetune', '--zeroshot', options.zeroshot, '--images', join(directory, 'val')];
    const held = ['--held-out-images', join(directory, 'shift')];
    const more = ['--out', out, '--epochs', '2', '--batch-size', '16', '--json'];
    const { code, stdout, stderr } = await runCli([...args, ...held, ...more]);
    expect(code, stderr).toBe(0);
    const { epochs, initial } = JSON.parse(stdout);
    expect(epochs).toHaveLength(2);
    expect(initial.loss).toBeGreaterThan(0);
    expect(epochs[1].heldOut.loss).not.toBe(initial.loss);
    const { command } = JSON.parse(await readFile(join(out, 'epoch_0002', 'wisemerge.json'), 'utf8'));
    expect(command).toContain(
      `--images ${join(directory, 'val')} --held-out-images ${join(directory, 'shift')}`,
    );
    const again = await runCli([...args, ...held, ...more, '--resume']);
    expect(again.code, again.stderr).toBe(0);
  });

  test('refuses two sets, half a set, and folders that are no classes', async () => {
    const { directory, options } = await project('vit-tiny');
    const [val, names] = [join(directory, 'val'), join(directory, 'names.txt')];
    await writeFile(names, 'class0\nclass1\n');
    const run = async (...flags: string[]) => {
      const args = ['finetune', '--zeroshot', options.zeroshot, '--out', join(directory, 'no'), ...flags];
      return (await runCli(args)).stderr;
    };
    expect(await run()).toContain('nothing to train on');
    expect(await run('--images', val, '--features', 'x.npy', '--labels', 'y.npy')).toContain(
      'two training sets',
    );
    expect(await run('--features', 'x.npy')).toContain('needs both --features and --labels');
    expect(await run('--images', val, '--held-out-labels', 'y.npy')).toContain('--held-out-features and');
    expect(await run('--images', val, '--class-names', names)).toContain('class2');
  });
});
